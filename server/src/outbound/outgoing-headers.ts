/** Fields that decide where a message goes, how it is framed, who stands in between, or what comes back. */
const ours = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'cookie',
  'cookie2',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
]);

/**
 * Fields to send: those given, without the ones that are ours to set (else `Host` would pick another site on the receiver), and
 * `defaults` where nothing or an empty value is given. Always asks for an answer that is not compressed.
 *
 * @throws TypeError for names and values that HTTP doesn’t allow
 */
export function outgoingHeaders(
  given: Headers | Readonly<Record<string, string>> | Iterable<[string, string]> | undefined,
  defaults: Readonly<Record<string, string>>,
): Headers {
  const headers = new Headers(given as ConstructorParameters<typeof Headers>[0]);
  const names = [...headers.keys()];
  for (const name of names) {
    if (ours.has(name) || name.startsWith('proxy-')) headers.delete(name);
  }
  for (const [name, value] of Object.entries(defaults)) {
    if (!headers.get(name)) headers.set(name, value);
  }
  headers.set('Accept-Encoding', 'identity');
  return headers;
}
