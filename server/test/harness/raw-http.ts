import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';

/** What came back, header by header. */
export interface RawAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** Names as they were sent, each as often as it was sent. */
  headerNames: string[];
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the answers of an API under test have whatever shape they have.
  body: any;
}

export interface RawRequest {
  method?: string;
  /** A list sends the header once for each entry. */
  headers?: Record<string, string | string[]>;
  body?: string | Uint8Array;
  /** Sends the body without saying how long it is. */
  isChunked?: boolean;
}

/**
 * Sends one request on a connection of its own. Unlike `fetch` it adds no header but Host and what frames the body,
 * repeats headers, and takes any method and a body with any of them.
 */
export function send(url: string, request: RawRequest = {}): Promise<RawAnswer> {
  const { method = 'GET', headers = {}, body, isChunked } = request;
  const open = url.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const outgoing = open(url, {
      method,
      agent: false,
      // The certificates of tests are signed by nobody.
      rejectUnauthorized: false,
      headers: {
        ...headers,
        ...(body !== undefined && !isChunked && { 'Content-Length': Buffer.byteLength(body) }),
        ...(isChunked && { 'Transfer-Encoding': 'chunked' }),
      },
    });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          headerNames: response.rawHeaders.filter((_, index) => index % 2 === 0),
          text,
          body: parse(text),
        });
      });
    });
    outgoing.end(body);
  });
}

/** Writes these bytes on a fresh connection and reads until the server closes it. */
export function exchange(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(port), hostname, () => socket.write(bytes, 'latin1'));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => socket.end());
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
