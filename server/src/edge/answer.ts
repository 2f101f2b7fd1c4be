import type { ServerResponse } from 'node:http';
import type { AppError } from '../errors.ts';
import { problemContentType, toProblem } from '../http/problem.ts';

/** How a 401 says which credentials are taken (RFC 9110 §11.6.1). */
export const authenticateChallenge = 'Basic realm="gatelodge", charset="UTF-8", Bearer realm="gatelodge"';

const jsonContentType = 'application/json; charset=utf-8';

/** What the edge answers, without its headers: those are collected on the way, also for an error. */
export interface EdgeAnswer {
  readonly status: number;
  readonly body?: string;
  /** JSON unless given. */
  readonly contentType?: string;
  /** `no-store` unless given. */
  readonly cacheControl?: string;
}

/** Adds to `headers`, a flat list of names and values, the ones that every answer of the edge ends with. */
export function finishHeaders(
  headers: string[],
  { status, body = '', contentType, cacheControl = 'no-store' }: EdgeAnswer,
): void {
  headers.push('Cache-Control', cacheControl, 'X-Content-Type-Options', 'nosniff');
  // It would have to tell the length of what a 200 brings (RFC 9110 §8.6).
  if (status === 304) return;
  if (body !== '') headers.push('Content-Type', contentType ?? jsonContentType);
  headers.push('Content-Length', String(Buffer.byteLength(body)));
}

/** Writes a whole answer in one go, past Fastify. */
export function writeAnswer(response: ServerResponse, headers: string[], answer: EdgeAnswer): void {
  if (response.headersSent || response.destroyed) return;
  finishHeaders(headers, answer);
  response.writeHead(answer.status, headers);
  response.end(answer.body ?? '');
}

/**
 * An error as RFC 9457, with the challenge that a 401 owes.
 *
 * @param headers flat list of the answer's headers, which those of the error are added to
 */
export function problemAnswer(
  error: AppError,
  requestId: string,
  docsBaseUrl: string,
  headers: string[],
): EdgeAnswer {
  headers.push('X-Request-Id', requestId);
  if (error.status === 401) headers.push('WWW-Authenticate', authenticateChallenge);
  for (const [name, value] of Object.entries(error.headers)) headers.push(name, value);
  return {
    status: error.status,
    body: JSON.stringify(toProblem(error, requestId, docsBaseUrl)),
    contentType: problemContentType,
  };
}
