import { scrub } from '../logs/scrub.ts';

/** What steers a terminal, a log or the direction of writing, or can't be seen at all; also the ends of lines. */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** What ends or opens something in HTML, Markdown and shells, and stands in no well-formed URL (RFC 3986 §2). */
const meaningful = /[<>"'`\\{}|^]/g;

/** Nobody in good faith encodes a URL more often. */
const maxEncodings = 10;

/** What a text may have grown to once look-alikes are read as what they look like: some stand for twenty characters. */
const maxDecoded = 4_096;

/** How often a secret may have been put into itself. */
const maxRemovals = 20;

/**
 * The commit that a link to a code host names: as long as a key, and without it nobody finds the place. No key of ours
 * looks like it.
 */
const commitOfLink = /(\/(?:blob|blame|commit|commits|raw|tree)\/[0-9a-f]{40}(?=[/?#]|$))/;

/**
 * What a stranger wrote, for an event: plain text that does nothing wherever it is shown, without anything that looks
 * like a key, however it was encoded in it. Markup is percent-encoded, which in a URL means the same. It remains a
 * stranger's text: show it, don't link it.
 *
 * @param maxLength of the result; what is beyond is cut off
 * @param secret has to be gone from it whatever it looks like
 * @returns null where nothing is left, or nothing that is safe
 */
export function inertText(text: string, maxLength: number, secret = ''): string | null {
  const seen = withoutUnseen(text);
  const decoded = decodeAll(seen);
  if (decoded === null) return null;
  const cleaned = clean(decoded, secret);
  if (cleaned === null) return null;
  // Only where something was hidden in it is the text kept decoded.
  const isHarmless = cleaned === decoded && clean(seen, secret) === seen;
  const inert = encodeMarkup(isHarmless ? seen : cleaned)
    .slice(0, maxLength)
    .toWellFormed();
  return inert === '' || holds(inert, secret) ? null : inert;
}

function withoutUnseen(text: string): string {
  return text.toWellFormed().replace(unseen, '');
}

/** Until nothing in it is encoded any more; null where that takes too long. */
function decodeAll(text: string): string | null {
  let decoded = text;
  for (let round = 0; round <= maxEncodings; round++) {
    // Look-alikes of letters and digits, such as full-width ones, are read as what they look like.
    const next = withoutUnseen(decodeOnce(decoded)).normalize('NFKC');
    if (next === decoded) return decoded;
    if (next.length > maxDecoded) return null;
    decoded = next;
  }
  return null;
}

/** As `decodeURIComponent`, but what is no UTF-8 or no escape at all is no error. */
function decodeOnce(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) =>
    Buffer.from(escapes.replaceAll('%', ''), 'hex').toString(),
  );
}

/** null where that takes too long. */
function clean(text: string, secret: string): string | null {
  let rest = text;
  let removals = 0;
  // As it was shown and as it reads decoded: both may stand there.
  // Again and again: what is left may have been put around it so as to make it anew.
  for (const form of [secret, decodeAll(withoutUnseen(secret)) ?? secret])
    while (form !== '' && rest.includes(form)) {
      if (removals++ === maxRemovals) return null;
      rest = rest.replaceAll(form, '');
    }
  return rest
    .split(commitOfLink)
    .map((part, index) => (index % 2 === 1 ? part : scrub(part)))
    .join('');
}

function holds(text: string, secret: string): boolean {
  if (secret === '') return false;
  return text.includes(secret) || (decodeAll(text)?.includes(secret) ?? true);
}

function encodeMarkup(text: string): string {
  return text.replace(meaningful, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}
