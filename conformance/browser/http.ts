import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/** A request as it goes over the wire; nothing is added to it but what HTTP needs. */
export interface HttpRequest {
  readonly url: URL;
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as `application/x-www-form-urlencoded`. */
  readonly form?: URLSearchParams;
}

/** One answer, whole; redirects are answers like others. */
export interface HttpAnswer {
  readonly url: URL;
  readonly status: number;
  readonly body: string;
  /** Every field of this name, in their order. */
  fields(name: string): readonly string[];
  /** The field of this name, several joined by commas; empty where there is none. */
  field(name: string): string;
}

const timeoutMs = 30_000;
const maxBodyLength = 2 ** 20;

/**
 * Sends one request and reads its answer. Not `fetch`, which says of itself in every request that it is a script
 * (`sec-fetch-mode: cors`), while a login page may rightly expect a browser.
 *
 * @throws Error when there is no whole answer within 30 seconds, or it is longer than a megabyte
 */
export function send({ url, method = 'GET', headers = {}, form }: HttpRequest): Promise<HttpAnswer> {
  const body = form?.toString();
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      method,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        ...(method === 'POST' ? { 'content-length': Buffer.byteLength(body ?? '') } : {}),
      },
      signal: AbortSignal.timeout(timeoutMs),
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > maxBodyLength) sent.destroy(new Error(`the answer of ${url.href} is too long`));
      });
      response.on('error', reject);
      response.on('end', () => {
        const fields = (name: string) => response.headersDistinct[name.toLowerCase()] ?? [];
        resolve({
          url,
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString('utf8'),
          fields,
          field: (name) => fields(name).join(', '),
        });
      });
    });
    sent.end(body);
  });
}

/** What a JSON object holds, or nothing where it is another thing or no JSON. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the media type of an answer is this one, whatever its parameters. */
export function hasMediaType(answer: HttpAnswer, mediaType: string): boolean {
  return answer.field('content-type').split(';')[0]!.trim().toLowerCase() === mediaType;
}
