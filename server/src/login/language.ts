/** The languages that the pages of the hosted login are written in. */
export const languages = ['en', 'de'] as const;

export type Language = (typeof languages)[number];

/** More ranges than a browser sends are read by nobody. */
const mostRanges = 20;

/**
 * The language to speak: what the client has asked for (`ui_locales`, OpenID Connect Core 1.0 §3.1.2.1), then what the
 * browser prefers (`Accept-Language`, RFC 9110 §12.5.4), then what the issuer has set.
 */
export function languageOf(wishes: {
  uiLocales: string | null;
  acceptLanguage: string | undefined;
  fallback: Language;
}): Language {
  const asked = (wishes.uiLocales ?? '').split(/\s+/, mostRanges);
  const known = [...asked, ...rangesOf(wishes.acceptLanguage ?? '')].map(knownLanguage);
  return known.find((language) => language !== undefined) ?? wishes.fallback;
}

/** The ranges of the header, the best first; what has no quality is not wanted. */
function rangesOf(header: string): string[] {
  return header
    .split(',', mostRanges)
    .map((part) => {
      const [range = '', ...parameters] = part.split(';').map((piece) => piece.trim());
      const quality = parameters.find((piece) => /^q=/i.test(piece))?.slice(2);
      return { range, quality: quality === undefined ? 1 : Number(quality) };
    })
    .filter(({ quality }) => quality > 0)
    .sort((one, other) => other.quality - one.quality)
    .map(({ range }) => range);
}

/** `de-AT` is German: the pages have no other (RFC 4647 §3.4). */
function knownLanguage(tag: string): Language | undefined {
  const primary = tag.toLowerCase().split('-', 1)[0];
  return languages.find((language) => language === primary);
}
