import { domainToASCII } from 'node:url';

export type UsernameType = 'email' | 'unique-name' | 'phone';

/** A username in the two forms that are stored of it. */
export interface Username {
  /** As it is shown, and as mail or a message is sent to it. */
  address: string;
  /** As it is compared: two spellings of one name have the same key. */
  key: string;
}

export type UsernameParse = ({ ok: true } & Username) | { ok: false; message: string };

/** Longer texts are none; what is read before that is bounded. */
export const maxUsernameLength = 320;

/** RFC 5321 §4.5.3.1, in bytes. */
const maxLocalBytes = 64;
const maxAddressBytes = 254;

/**
 * Text without what can't be seen and without compatibility characters: full-width letters, ligatures and such are the
 * plain ones that they stand for (Unicode NFKC). What is compared and what is sent to are made of the same text, so that
 * nobody has mail for one address delivered to another that merely compares equal.
 */
function plainText(text: string): string {
  return text.normalize('NFKC').trim();
}

/** Letters, marks and digits of any script, but none that show nothing. */
const word = String.raw`(?:(?!\p{Default_Ignorable_Code_Point})[\p{L}\p{M}\p{N}])`;

// ── E-mail addresses ────────────────────────────────────────────────────────────────────────────────────────────

/** A dot-atom (RFC 5322 §3.2.3), with letters of any script (RFC 6532). No quoted strings, no comments. */
const atom = `(?:${word}|[!#$%&'*+/=?^_\`{|}~-])+`;
const localPattern = new RegExp(`^${atom}(?:\\.${atom})*$`, 'u');
const domainPattern = new RegExp(`^(?:${word}|-)+(?:\\.(?:${word}|-)+)*$`, 'u');
const asciiDomainPattern =
  /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?!\d+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Reads an e-mail address. `address` is what mail goes to: its domain in lower case and, where it has other letters than
 * A to Z, as DNS has it (`xn--…`). `key` has the part before the @ in lower case as well: no provider tells `Alice@` from
 * `alice@`, and people write either. Nothing else is the same: dots, `+tags` and the provider’s other domains are rules of
 * single providers, and what is one mailbox there is two elsewhere.
 *
 * Whoever finds a user by the key writes to the address that the user has, not to the one that was typed.
 */
export function normalizeAddress(text: string): UsernameParse {
  if (text.length > maxUsernameLength || !text.isWellFormed()) return malformedAddress;
  const plain = plainText(text);
  const at = plain.lastIndexOf('@');
  const local = plain.slice(0, Math.max(0, at));
  const domain = normalizeDomain(plain.slice(at + 1));
  if (domain === null || !localPattern.test(local) || Buffer.byteLength(local) > maxLocalBytes)
    return malformedAddress;
  const address = `${local}@${domain}`;
  if (Buffer.byteLength(address) > maxAddressBytes) return malformedAddress;
  return { ok: true, address, key: `${inOneCase(local)}@${domain}` };
}

const malformedAddress: UsernameParse = {
  ok: false,
  message: 'must be an e-mail address, such as alice@example.com',
};

/**
 * A domain as DNS has it, in lower case and in ASCII; null for what is none. `localhost` is one, other names without a dot
 * are not.
 */
export function normalizeDomain(text: string): string | null {
  const plain = plainText(text);
  // First what a domain may be made of: the URL parser below would read a port, a path or an escape as well.
  if (!domainPattern.test(plain)) return null;
  const domain = domainToASCII(plain);
  return domain === 'localhost' || (domain.length <= 253 && asciiDomainPattern.test(domain)) ? domain : null;
}

// ── Other usernames ─────────────────────────────────────────────────────────────────────────────────────────────

const namePattern = new RegExp(`^${word}(?:${word}|[._-]){0,63}$`, 'u');

/**
 * Reads a unique name. Shown as it was chosen, compared without regard to case. (RFC 8265 §3.3 has it so, but for NFKC,
 * which also leaves no two that look the same because one is made of compatibility characters.)
 */
export function normalizeUniqueName(text: string): UsernameParse {
  const address = text.length > maxUsernameLength || !text.isWellFormed() ? '' : plainText(text);
  if (!namePattern.test(address)) {
    return {
      ok: false,
      message: 'must be 1 to 64 letters, digits or . _ - and begin with a letter or digit',
    };
  }
  return { ok: true, address, key: inOneCase(address) };
}

/** What people write between the digits of a number. */
const phoneSeparators = /[\s()./-]/gu;

/** Reads a phone number, which has to name its country: `+49 (30) 1234-567` is `+49301234567` (E.164). */
export function normalizePhone(text: string): UsernameParse {
  const written = text.length > maxUsernameLength || !text.isWellFormed() ? '' : plainText(text);
  const number = written.replaceAll(phoneSeparators, '').replace(/^00/, '+');
  if (!/^\+[1-9][0-9]{6,14}$/.test(number)) {
    return {
      ok: false,
      message: 'must be a phone number with its country code, such as +49301234567',
    };
  }
  return { ok: true, address: number, key: number };
}

const normalizers: Record<UsernameType, (text: string) => UsernameParse> = {
  email: normalizeAddress,
  'unique-name': normalizeUniqueName,
  phone: normalizePhone,
};

/** Reads a username of this type: how it is shown and how it is compared, or what is wrong with it. */
export function normalizeUsername(type: UsernameType, text: string): UsernameParse {
  return normalizers[type](text);
}

/** In lower case, whatever the letters; some have none that a second look would leave alone before NFKC. */
function inOneCase(text: string): string {
  return text.toLowerCase().normalize('NFKC').toLowerCase();
}
