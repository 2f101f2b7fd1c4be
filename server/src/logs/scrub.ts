/*
 * The second wall of the log: what looks like a secret is taken out of every text of a finished line, wherever it came
 * from. The first wall is that only named members are logged at all (log-members.ts).
 */

const redacted = '[redacted]';

const patterns: readonly [RegExp, string][] = [
  // user:password@ of a URL, up to the last @: a badly encoded password may hold another one. The colon is looked for
  // ahead, so that no text makes the engine try each of them against each @.
  [/([a-z][a-z0-9+.-]{0,30}:\/\/)(?=[^\s"@/]*:)[^\s"]*@/gi, `$1${redacted}@`],
  // Of a connection string, a query or a form.
  [
    /\b(password|passwd|pwd|secret|client_secret|api[_-]?key|\w{0,20}token|otp)=[^\s"&;]+/gi,
    `$1=${redacted}`,
  ],
  // RFC 6750 §2.1, RFC 9449 §7.1, RFC 7617 §2.
  [/\b(Bearer|DPoP|Basic)(\s+)[A-Za-z0-9._~+/-]{6,}=*/gi, `$1$2${redacted}`],
  // Signing secrets of Standard Webhooks.
  [/\bwhsec_[A-Za-z0-9+/=_-]+/g, `whsec_${redacted}`],
  // A JWT starts with {" in base64url. It begins where a run of base64url does: a text of many beginnings in one run is
  // read once.
  [/(?<![\w-])eyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)*/g, redacted],
  // API keys of every profile (their prefix stays), digests and keys in hexadecimal: a longer run of letters and
  // digits than any id (25) or trace id (32) has.
  [/[0-9A-Za-z]{36,}/g, redacted],
  // 30 bytes or more in base64url. Long names made of words lack digits or capitals.
  [/(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{40,}/g, redacted],
];

/** Takes out of a text whatever looks like a secret: keys, tokens, credentials in headers and URLs. */
export function scrub(text: string): string {
  return patterns.reduce((scrubbed, [pattern, replacement]) => scrubbed.replace(pattern, replacement), text);
}
