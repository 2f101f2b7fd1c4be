import type { IncomingHttpHeaders } from 'node:http';

/** The head of a request that nobody can read in two ways. */
export interface RequestHead {
  readonly method: string;
  readonly url: string;
  /** Names in lower case, each once. */
  readonly headers: IncomingHttpHeaders;
  /** 0 for a request without a body. */
  readonly contentLength: number;
}

/** Methods that take no body here and whose answers have one. */
const bodyless = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
const verifyLine = 'POST /v1/keys/verify HTTP/1.1';
const authorizeLine = /^([A-Z]{3,7}) (\/v1\/authorize\/[!-~]*) HTTP\/1\.1$/;

/** How the head of a request for a quick operation begins. */
export const quickBegins: readonly string[] = [
  `${verifyLine}\r\n`,
  ...bodyless.map((method) => `${method} /v1/authorize/`),
];

/**
 * RFC 9110 §5.6.2 has more characters; whoever uses them takes the other way. White space after the value is part of the
 * same option as the value: two runs of it side by side would be tried in every division of a line that does not match.
 */
const fieldLine = /^([A-Za-z0-9-]{1,64}):[ \t]*(?:([!-~](?:[\t -~]*[!-~])?)[ \t]*)?$/;
const lengthValue = /^(?:0|[1-9]\d{0,5})$/;

/**
 * Fields that change how a message is framed, what becomes of the connection, or what the server owes before its
 * answer. Requests with one of them are for node:http.
 */
const framing = new Set([
  'transfer-encoding',
  'trailer',
  'te',
  'expect',
  'upgrade',
  'http2-settings',
  'proxy-connection',
  'access-control-request-method',
]);

/**
 * Reads the head of a request for a quick operation; null for everything else, and for whatever could be read in more
 * than one way: repeated fields, folded lines, bare line ends, control characters, a body whose end is not told by one
 * plain Content-Length. What comes out is a subset of HTTP/1.1 (RFC 9112) that every parser reads alike; the rest is
 * node:http's.
 *
 * @param head up to the empty line, without it; one character a byte
 */
export function parseRequestHead(head: string): RequestHead | null {
  const lines = head.split('\r\n');
  const request = parseRequestLine(lines[0]!);
  if (request === null) return null;
  const headers: Record<string, string> = {};
  for (let at = 1; at < lines.length; at++) {
    const field = fieldLine.exec(lines[at]!);
    if (field === null) return null;
    const name = field[1]!.toLowerCase();
    if (headers[name] !== undefined || framing.has(name)) return null;
    headers[name] = field[2] ?? '';
  }
  const { host, connection } = headers;
  if (host === undefined || host === '' || host.includes(',')) return null;
  if (connection !== undefined && connection.toLowerCase() !== 'keep-alive') return null;
  const contentLength = lengthOf(request, headers['content-length']);
  if (contentLength === null) return null;
  return { method: request.method, url: request.url, headers, contentLength };
}

interface RequestLine {
  readonly method: string;
  readonly url: string;
  readonly takesBody: boolean;
}

function parseRequestLine(line: string): RequestLine | null {
  if (line === verifyLine) return { method: 'POST', url: '/v1/keys/verify', takesBody: true };
  const parts = authorizeLine.exec(line);
  if (parts === null || !bodyless.includes(parts[1]!)) return null;
  return { method: parts[1]!, url: parts[2]!, takesBody: false };
}

function lengthOf({ takesBody }: RequestLine, text: string | undefined): number | null {
  if (text === undefined) return takesBody ? null : 0;
  if (!lengthValue.test(text)) return null;
  const length = Number(text);
  return takesBody || length === 0 ? length : null;
}
