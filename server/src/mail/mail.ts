/** A mail as somebody is to get it: to one address, in text and in HTML that says the same. */
export interface OutgoingMail {
  to: string;
  subject: string;
  text: string;
  html: string;
  /** Display name of the sender; null for the one of `MAIL_FROM`. The address is always that one. */
  senderName: string | null;
}

const maxAddressLength = 320;
/** Generous in what it takes, for whether there is such a mailbox the mail server knows; but one address and nothing beside it. */
const oneAddress = /^[^\s@<>()[\]\\,;:"\p{Cc}]+@[^\s@<>()[\]\\,;:"\p{Cc}]+$/u;

/** Says whether the text is one bare address, which no header and no SMTP command can take for anything else. */
export function isMailAddress(text: string): boolean {
  return text.length <= maxAddressLength && text.isWellFormed() && oneAddress.test(text);
}

/**
 * A text as one line for a header: control characters and line ends, by which a header could be ended and another begun, are
 * spaces, runs of white space one, and what is longer than `maxLength` is cut.
 */
export function oneLine(text: string, maxLength: number): string {
  const line = text
    .toWellFormed()
    .replaceAll(/[\p{Cc}\u2028\u2029\s]+/gu, ' ')
    .trim();
  return Array.from(line).slice(0, maxLength).join('');
}

/**
 * A display name for the sender. Without what an address is made of: mail programs that show the name alone would show
 * somebody else's address as the sender's.
 */
export function displayName(text: string): string {
  return oneLine(text.replaceAll(/[<>@"\\]/g, ' '), 100);
}
