import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CodeMail, renderCodeMail } from './code-mail.ts';

const ours = { subject: null, text: null, brand_name: null, language: 'en' } as const;

function render(members: Partial<CodeMail> = {}) {
  return renderCodeMail({ code: '314159', minutes: 10, mail: ours, issuerName: 'Acme', ...members });
}

const firstCode = (text: string) => /\d{6,8}/.exec(text)?.[0];

describe('our own text', () => {
  test('names the code first, the application and how long the code is good', () => {
    expect(render()).toMatchObject({
      subject: 'Your code to sign in to Acme',
      text: expect.stringMatching(
        /^314159 is your code to sign in to Acme\.\n\nIt works once, within the next 10 minutes\./,
      ),
    });
  });

  test('is there in German', () => {
    const mail = { ...ours, language: 'de', brand_name: 'Bäckerei Blau' } as const;
    const { subject, text, html } = render({ mail, minutes: 1 });
    expect(subject).toBe('Ihr Code zum Anmelden bei Bäckerei Blau');
    expect(text).toContain('innerhalb der nächsten Minute.');
    expect(html).toContain('<html lang="de" dir="ltr">');
  });

  test.each([
    [0.5, 'within the next minute.'],
    [1.5, 'within the next minute.'],
    [2.9, 'within the next 2 minutes.'],
    [60, 'within the next 60 minutes.'],
  ])('%d minutes are told as no longer than they are', (minutes, said) => {
    expect(render({ minutes }).text).toContain(said);
  });

  test('holds no link, and nothing loads anything from anywhere', () => {
    for (const { text, html } of [render(), render({ mail: { ...ours, language: 'de' } })]) {
      expect(text).not.toMatch(/https?:|www\.|\//);
      expect(html).not.toMatch(/https?:|<a\b|<img|<script|<link|url\(|@import/i);
    }
  });
});

describe('an issuer’s own text', () => {
  test('is in the language that the issuer has set, whatever the user reads', () => {
    const mail = { ...ours, text: 'Enter {{code}}.' };
    expect(render({ mail, language: 'de' }).html).toContain('<html lang="en" dir="ltr">');
    expect(render({ mail, language: 'de' }).subject).toBe('Your code to sign in to Acme');
    expect(render({ language: 'de' }).html).toContain('<html lang="de" dir="ltr">');
  });

  test('has the code and the minutes where it wants them, in paragraphs', () => {
    const mail = {
      ...ours,
      subject: 'Your PIN: {{code}}',
      text: 'Hello,\r\nenter {{code}} soon.\r\n\r\n{{minutes}} minutes & then it’s over.',
    };
    const { subject, text, html } = render({ mail });
    expect(subject).toBe('Your PIN: 314159');
    expect(text).toBe('Hello,\nenter 314159 soon.\n\n10 minutes & then it’s over.\n');
    expect(html).toContain('Hello,<br>enter 314159 soon.</p>');
    expect(html).toContain('10 minutes &amp; then');
  });

  test('that does not lead with the code gets it put before', () => {
    for (const text of [
      'Call 0800123456, or enter {{code}}.',
      'Without one.',
      '٠١٢٣٤٥ {{code}}',
      '12{{code}}34',
    ])
      expect(render({ mail: { ...ours, text } }).text, text).toMatch(/^314159\n\n/);
  });
});

// Attack: an account names itself so that mails of it hold markup, another code before the code, or another header.
test('whatever an issuer is called and has written, the code is the first, and everything else is text', () => {
  const hostile = fc.string({
    unit: fc.constantFrom(
      '<',
      '>',
      '"',
      "'",
      '&',
      '\r',
      '\n',
      '\0',
      '{{code}}',
      '{{minutes}}',
      '12',
      '345678',
      '٣٤',
      ' ',
      'a',
      '<script>',
      '\ud800',
      '$&',
      '$1',
    ),
    maxLength: 40,
  });
  const settings = fc.record({
    subject: fc.option(hostile),
    text: fc.option(hostile),
    brand_name: fc.option(hostile),
    language: fc.constantFrom('en' as const, 'de' as const),
  });
  const codes = fc.integer({ min: 0, max: 99_999_999 }).map((number) => String(number).padStart(6, '0'));
  fc.assert(
    fc.property(settings, hostile, codes, (mail, issuerName, code) => {
      const { subject, text, html } = renderCodeMail({ code, minutes: 10, mail, issuerName });
      expect(firstCode(text)).toBe(code);
      expect(subject).not.toMatch(/\p{Cc}/u);
      expect(html).not.toContain('<script');
      // Nothing but our own elements, each closed as it was opened.
      const tags = [...html.matchAll(/<\/?([a-z][a-z0-9]*)\b/gi)].map(([, name]) => name!.toLowerCase());
      const known = ['html', 'head', 'meta', 'title', 'style', 'body', 'div', 'h1', 'p', 'br'];
      expect(tags.filter((name) => !known.includes(name))).toEqual([]);
    }),
  );
});
