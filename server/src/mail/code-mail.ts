import { codeMailHtml } from './code-mail-html.ts';
import { type CodeMailLanguage, codeMailTexts } from './code-mail-texts.ts';
import { type OutgoingMail, oneLine } from './mail.ts';

/** What an issuer has set for its mails; null for ours. */
export interface CodeMailSettings {
  /** May hold `{{code}}` and `{{minutes}}`, as `text` may. */
  readonly subject: string | null;
  readonly text: string | null;
  readonly brand_name: string | null;
  readonly language: CodeMailLanguage;
}

export interface CodeMail {
  /** 6 to 8 digits. */
  readonly code: string;
  /** For how long it is good; rounded down, and never told as less than one. */
  readonly minutes: number;
  readonly mail: CodeMailSettings;
  /** What the user reads; unless given, what the issuer has set. Counts where the issuer has not written the mail itself. */
  readonly language?: CodeMailLanguage | undefined;
  /** Stands in where the issuer has set no brand name. */
  readonly issuerName: string;
}

const maxBrand = 100;

/**
 * The mail that brings a code. The code is the first run of 6 to 8 digits in its text, undivided, whatever the issuer has
 * written; there is no link in it and nothing of any request.
 */
export function renderCodeMail(order: CodeMail): Pick<OutgoingMail, 'subject' | 'text' | 'html'> {
  const { code, mail, issuerName } = order;
  const minutes = Math.max(1, Math.floor(order.minutes));
  const brand = oneLine(mail.brand_name ?? issuerName, maxBrand);
  // A mail speaks one language: what the issuer has written is in its own.
  const isOurs = mail.subject === null && mail.text === null;
  const language = (isOurs ? order.language : undefined) ?? mail.language;
  const texts = codeMailTexts[language];
  const fill = (template: string) =>
    template.replaceAll(/\{\{(code|minutes)\}\}/g, (_all, name) =>
      name === 'code' ? code : String(minutes),
    );
  const subject = mail.subject === null ? texts.subject(brand) : oneLine(fill(mail.subject), 200);
  const paragraphs =
    mail.text === null ? texts.paragraphs({ code, brand, minutes }) : paragraphsOf(fill(mail.text));
  const led = leadsWithCode(paragraphs, code) ? paragraphs : [code, ...paragraphs];
  return {
    subject,
    text: `${led.join('\n\n')}\n`,
    html: codeMailHtml({ language, subject, brand, code, paragraphs: led }).text,
  };
}

function paragraphsOf(text: string): string[] {
  return text
    .replaceAll(/\r\n?/g, '\n')
    .split(/\n[ \t]*\n\s*/)
    .map((paragraph) => paragraph.trim())
    .filter((paragraph) => paragraph !== '');
}

/** Of any script: in some languages a program's `\d` is every digit of Unicode. */
function leadsWithCode(paragraphs: readonly string[], code: string): boolean {
  return /\p{Nd}{6,}/u.exec(paragraphs.join('\n\n'))?.[0] === code;
}
