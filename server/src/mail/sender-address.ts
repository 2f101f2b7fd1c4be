import { displayName, isMailAddress } from './mail.ts';

/** Who mails come from: `MAIL_FROM`. */
export interface SenderAddress {
  readonly name: string | null;
  readonly address: string;
}

/** Reads `no-reply@example.com` or `Example <no-reply@example.com>`, the name in quotes or not; null for what is neither. */
export function parseSenderAddress(text: string): SenderAddress | null {
  const named = /^([^<>]*)<([^<>]*)>$/.exec(text);
  const address = (named?.[2] ?? text).trim();
  if (!isMailAddress(address) || /\p{Cc}/u.test(text)) return null;
  return { name: displayName(named?.[1] ?? '') || null, address };
}
