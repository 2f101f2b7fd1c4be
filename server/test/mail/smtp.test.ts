import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { idPrefixes, newId } from '../../src/ids/ids.ts';
import type { OutgoingMail } from '../../src/mail/mail.ts';
import { isMailAddress } from '../../src/mail/mail.ts';
import { createSmtpSender, openSmtpSender } from '../../src/mail/smtp-sender.ts';
import { parseSmtpUrl } from '../../src/mail/smtp-url.ts';
import { loadSettings } from '../../src/settings.ts';
import { MailServer } from '../harness/mail-server.ts';
import { freePort } from '../harness/process.ts';
import { scaled } from '../harness/scale.ts';

let server: MailServer;
let withoutTls: MailServer;
beforeAll(async () => {
  server = await MailServer.start();
  withoutTls = await MailServer.start({ startTls: false });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await withoutTls[Symbol.asyncDispose]();
});

const createdAt = new Date('2026-11-21T12:00:00Z');
let counter = 0;
const someone = () => `someone-${counter++}@example.com`;

function mailTo(to: string, members: Partial<OutgoingMail> = {}): OutgoingMail {
  return {
    to,
    subject: 'A subject',
    text: '123456 is a code.',
    html: '<p>123456</p>',
    senderName: null,
    ...members,
  };
}

async function send(
  url: string,
  mail: OutgoingMail,
  { ca = server.caFile as string | null, id = newId(idPrefixes.mail) } = {},
) {
  const parsed = parseSmtpUrl(url);
  if (!parsed.ok) throw new Error(parsed.problem);
  const sender = createSmtpSender({
    server: parsed.server,
    from: { name: 'Gatelodge', address: 'no-reply@gatelodge.test' },
    ca: ca === null ? undefined : await readFile(ca),
    ownName: 'gatelodge.test',
  });
  return sender.send({ id, createdAt, mail }, AbortSignal.timeout(20_000));
}

describe('a mail', () => {
  test('goes out over STARTTLS with user and password, in text and HTML, once', async () => {
    const to = someone();
    const id = newId(idPrefixes.mail);
    expect(await send(server.url(), mailTo(to, { senderName: 'Blue Bakery' }), { id })).toEqual({
      outcome: 'sent',
    });
    const [mail, ...others] = await server.waitForMails(to);
    expect(others).toEqual([]);
    expect(mail).toMatchObject({
      subject: 'A subject',
      from: 'Blue Bakery <no-reply@gatelodge.test>',
      to,
      messageId: `<${id}@gatelodge.test>`,
      text: expect.stringMatching(/^123456 is a code\.\s*$/),
      html: expect.stringContaining('<p>123456</p>'),
    });
    expect(mail!.headers.get('auto-submitted')).toEqual(['auto-generated']);
    expect(mail!.headers.get('date')).toEqual(['Sat, 21 Nov 2026 12:00:00 +0000']);
    // What the server has seen: TLS, and who signed in.
    expect(await server.log()).toMatch(/P=esmtpsa X=TLS1\.3.* A=\w+:gatelodge .*id=mail_/);
  });

  test.each(['PLAIN', 'LOGIN'] as const)('goes out where one signs in by AUTH %s alone', async (name) => {
    await using other = await MailServer.start({ authentication: [name] });
    const to = someone();
    expect(await send(other.url(), mailTo(to), { ca: other.caFile })).toEqual({ outcome: 'sent' });
    expect((await other.waitForMails(to)).length).toBe(1);
    expect(await other.log()).toContain(` A=${name.toLowerCase()}:gatelodge `);
    expect(await send(other.url({ password: 'wrong' }), mailTo(to), { ca: other.caFile })).toMatchObject({
      failure: { reason: 'authentication', replyCode: 535 },
    });
  });

  test('with letters of any script comes as it was written', async () => {
    const to = someone();
    const subject = `Ihr Code für „Grüße & Küsse“ ${'日本語 '.repeat(12)}`.trim();
    const text = '123456 ist Ihr Code – für 日本語.\n\nZeile zwei = gut.';
    await send(server.url(), mailTo(to, { subject, text, senderName: 'Bäckerei Blau, GmbH' }));
    const [mail] = await server.waitForMails(to);
    expect([mail!.subject, mail!.from, mail!.text.trim()]).toEqual([
      subject,
      'Bäckerei Blau, GmbH <no-reply@gatelodge.test>',
      text,
    ]);
  });

  // Attack: an account names its brand or its sender so that the mail gets a second recipient, another sender or a body
  // of the account's own; or somebody signs in with an address that does.
  test(
    'has one recipient and the headers that it always has, whatever it is called',
    async () => {
      const usual = someone();
      await send(server.url(), mailTo(usual));
      const names = [...(await server.waitForMails(usual))[0]!.headers.keys()].sort();
      const hostile = fc.string({
        unit: fc.constantFrom(...'\r\n\0\t ,;:<>"@\\=?B%ä\u2028.', 'Bcc: x@evil.test', '=?utf-8?q?=0D=0A?='),
      });
      await fc.assert(
        fc.asyncProperty(hostile, hostile, async (subject, senderName) => {
          const to = someone();
          expect(await send(server.url(), mailTo(to, { subject, senderName }))).toEqual({ outcome: 'sent' });
          const [mail] = await server.waitForMails(to);
          expect(mail!.envelopeTo).toEqual([to]);
          expect([...mail!.headers.keys()].filter((name) => !names.includes(name))).toEqual([]);
          expect(mail!.headers.get('to')).toEqual([to]);
          expect(
            mail!.from.endsWith('<no-reply@gatelodge.test>') || mail!.from === 'no-reply@gatelodge.test',
          ).toBe(true);
        }),
        { numRuns: scaled(15, 300) },
      );
      expect((await server.mails()).filter(({ raw }) => /^bcc:/im.test(raw.split('\n\n')[0]!))).toEqual([]);
    },
    scaled(60_000, 600_000),
  );
});

describe('nothing is sent', () => {
  const nobody = async (to: string) => expect(await server.mailsTo(to)).toEqual([]);
  const failure = (reason: string, replyCode: number | null, isFinal = false) => ({
    outcome: 'failed',
    failure: { reason, replyCode, isFinal },
  });

  test.each([
    ['a wrong password', () => server.url({ password: 'wrong' }), 'authentication', 535],
    ['an unknown user', () => server.url({ user: 'nobody' }), 'authentication', 535],
  ])('with %s', async (_name, url, reason, code) => {
    const to = someone();
    expect(await send(url(), mailTo(to))).toEqual(failure(reason, code));
    await nobody(to);
  });

  // Attack: somebody in between shows a certificate of its own.
  test('to a server whose certificate nobody we trust has signed', async () => {
    const to = someone();
    expect(await send(server.url(), mailTo(to), { ca: null })).toEqual(failure('certificate', null));
    await nobody(to);
  });

  test('to a server whose certificate is of another name', async () => {
    const to = someone();
    const url = server.url().replace('@localhost:', '@127.0.0.1:');
    expect(await send(url, mailTo(to))).toEqual(failure('certificate', null));
    await nobody(to);
  });

  // Attack: somebody in between takes the offer of STARTTLS away, to read the password and the codes.
  test('where STARTTLS is not offered', async () => {
    const to = someone();
    const answer = await send(withoutTls.url(), mailTo(to));
    expect(answer).toMatchObject({ outcome: 'failed', failure: { reason: 'no_starttls', isFinal: false } });
    expect(await withoutTls.mailsTo(to)).toEqual([]);
    expect(await withoutTls.log()).not.toContain('A=');
  });

  test('where nobody listens', async () => {
    const url = `smtp://localhost:${await freePort()}`;
    expect(await send(url, mailTo(someone()))).toEqual(failure('unreachable', null));
  });

  test('where the server wants a password and there is none', async () => {
    const url = `smtp://localhost:${server.port}?tls=required`;
    expect(await send(url, mailTo(someone()))).toEqual(failure('recipient_refused', 550, true));
  });
});

describe('what the server says of a recipient', () => {
  test('for good is final, and nothing of its words is kept', async () => {
    const answer = await send(server.url(), mailTo('refused@example.com'));
    expect(answer).toEqual({
      outcome: 'failed',
      failure: { reason: 'recipient_refused', replyCode: 550, isFinal: true },
    });
  });

  test('for now is not', async () => {
    const answer = await send(server.url(), mailTo('later@example.com'));
    expect(answer).toEqual({
      outcome: 'failed',
      failure: { reason: 'deferred', replyCode: 451, isFinal: false },
    });
  });
});

test('tls=none sends in the clear what a server on this machine takes', async () => {
  const to = someone();
  expect(await send(withoutTls.url({ tls: 'none' }), mailTo(to))).toEqual({ outcome: 'sent' });
  expect((await withoutTls.waitForMails(to)).length).toBe(1);
});

test.each([
  ['there is not', 'nothing.pem', null, '(ENOENT)'],
  ['holds no certificate', 'key.pem', 'no certificate', 'it has none'],
  [
    'holds a damaged one',
    'damaged.pem',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    'damaged',
  ],
])('a file of authorities that %s is told with all that is wrong', async (_name, file, content, says) => {
  const directory = await mkdtemp(join(tmpdir(), 'gatelodge-ca-'));
  const path = join(directory, file);
  if (content !== null) await writeFile(path, content);
  const wrong = { ...server.env, SMTP_CA_FILE: path, GATELODGE_PORT: 'http' };
  expect(() => loadSettings(wrong)).toThrow(
    expect.objectContaining({
      problems: [
        expect.objectContaining({ variable: 'GATELODGE_PORT' }),
        expect.objectContaining({ variable: 'SMTP_CA_FILE', problem: expect.stringContaining(says) }),
      ],
    }),
  );
  // It may have changed since the settings were read.
  const settings = { ...loadSettings(server.env), smtpCaFile: path };
  expect(() => openSmtpSender(settings)).toThrow(/^SMTP_CA_FILE must be /);
  await rm(directory, { recursive: true });
});

test('what is no address is taken for none', () => {
  for (const text of [
    'a@b, c@d',
    '<a@b>',
    'a b@c',
    'a@b\r\nBcc: c@d',
    'a',
    '@',
    'a@@b',
    '"a b"@c',
    'a@b@c',
    '\ud800@b',
  ])
    expect(isMailAddress(text), text).toBe(false);
  for (const text of ['a@b', "o'neill+tag@example.com", 'müller@bücher.example', 'a!#$%&*/=?^_`{|}~-@x'])
    expect(isMailAddress(text), text).toBe(true);
});
