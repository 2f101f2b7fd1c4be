/** A mail as the mail server has delivered it, and as a mail program reads it. */
export interface DeliveredMail {
  readonly raw: string;
  /** Milliseconds since 1970, by the server that delivered it. */
  readonly deliveredAtMs: number;
  /** Whom SMTP named as recipients, in lower case. */
  readonly envelopeTo: readonly string[];
  /** Every field, unfolded and decoded, by its name in lower case; a repeated one several times. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly subject: string;
  readonly from: string;
  readonly to: string;
  readonly messageId: string;
  readonly text: string;
  readonly html: string;
}

/** Reads a mail (RFC 5322, RFC 2045): as much of them as our own mails and a mail server need. */
export function parseMail(raw: string, deliveredAtMs: number): DeliveredMail {
  const { headers, body } = splitPart(raw);
  const first = (name: string) => headers.get(name)?.[0] ?? '';
  const parts = leavesOf(headers, body);
  return {
    raw,
    deliveredAtMs,
    envelopeTo: first('envelope-to')
      .split(',')
      .map((address) => address.trim().toLowerCase()),
    headers,
    subject: first('subject'),
    from: first('from'),
    to: first('to'),
    messageId: first('message-id'),
    text: parts.get('text/plain') ?? '',
    html: parts.get('text/html') ?? '',
  };
}

/** The code of a mail, as our contract says how to find it. */
export function codeIn(mail: Pick<DeliveredMail, 'text'>): string {
  const code = /\d{6,8}/.exec(mail.text)?.[0];
  if (code === undefined) throw new Error(`no code in: ${mail.text}`);
  return code;
}

function splitPart(part: string): { headers: Map<string, string[]>; body: string } {
  const normalized = part.replaceAll('\r\n', '\n');
  const end = normalized.indexOf('\n\n');
  const headers = new Map<string, string[]>();
  for (const line of normalized
    .slice(0, end)
    .replaceAll(/\n[ \t]+/g, ' ')
    .split('\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), decodeWords(line.slice(colon + 1).trim())]);
  }
  return { headers, body: normalized.slice(end + 2) };
}

/** The texts of a mail by their types. */
function leavesOf(headers: Map<string, string[]>, body: string): Map<string, string> {
  const contentType = headers.get('content-type')?.[0] ?? 'text/plain';
  const boundary = /boundary="?([^";]+)"?/i.exec(contentType)?.[1];
  if (boundary === undefined) {
    const encoding = headers.get('content-transfer-encoding')?.[0] ?? '7bit';
    return new Map([[contentType.split(';')[0]!.trim().toLowerCase(), decodeBody(body, encoding)]]);
  }
  const parts = body.split(`--${boundary}`).slice(1, -1);
  return new Map(
    parts.flatMap((part) => {
      const inner = splitPart(part.replace(/^\n/, ''));
      return [...leavesOf(inner.headers, inner.body)];
    }),
  );
}

function decodeBody(body: string, encoding: string): string {
  if (/base64/i.test(encoding)) return Buffer.from(body, 'base64').toString('utf8');
  if (!/quoted-printable/i.test(encoding)) return body;
  return fromQuotedPrintable(body.replaceAll(/[ \t]*=\n/g, ''));
}

/** RFC 2047; white space between two encoded words is none. */
function decodeWords(value: string): string {
  return value
    .replaceAll(/(=\?[^?]+\?[bq]\?[^?]*\?=)\s+(?==\?)/gi, '$1')
    .replaceAll(/=\?[^?]+\?([bq])\?([^?]*)\?=/gi, (_all, encoding: string, text: string) =>
      encoding.toLowerCase() === 'b'
        ? Buffer.from(text, 'base64').toString('utf8')
        : fromQuotedPrintable(text.replaceAll('_', ' ')),
    );
}

function fromQuotedPrintable(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const decoded = bytes.replaceAll(/=([0-9A-F]{2})/gi, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(decoded, 'latin1').toString('utf8');
}
