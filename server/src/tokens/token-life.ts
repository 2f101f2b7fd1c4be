/**
 * The longest life of a token that any issuer can choose, in seconds. A key is published for so long after it has signed
 * its last token; see `endOfPublication`.
 */
export const longestTokenSeconds = 3600;
