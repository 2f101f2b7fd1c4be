import type { ServerResponse } from 'node:http';
import type { AppError } from '../errors.ts';
import { problemContentType, toProblem } from '../http/problem.ts';

/** How a 401 says which credentials are taken (RFC 9110 §11.6.1). */
export const authenticateChallenge = 'Basic realm="gatelodge", charset="UTF-8", Bearer realm="gatelodge"';

const jsonContentType = 'application/json; charset=utf-8';

/**
 * Writes a whole answer in one go, past Fastify.
 *
 * @param headers flat list of names and values, added to the ones that every keyed answer has
 */
export function writeAnswer(
  response: ServerResponse,
  status: number,
  headers: string[],
  body = '',
  contentType = jsonContentType,
): void {
  if (response.headersSent || response.destroyed) return;
  headers.push('Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff');
  if (body !== '') headers.push('Content-Type', contentType);
  headers.push('Content-Length', String(Buffer.byteLength(body)));
  response.writeHead(status, headers);
  response.end(body);
}

/** Writes an error as RFC 9457, with the challenge that a 401 owes. */
export function writeProblem(
  response: ServerResponse,
  error: AppError,
  requestId: string,
  docsBaseUrl: string,
  headers: string[] = [],
): void {
  headers.push('X-Request-Id', requestId);
  if (error.status === 401) headers.push('WWW-Authenticate', authenticateChallenge);
  for (const [name, value] of Object.entries(error.headers)) headers.push(name, value);
  writeAnswer(
    response,
    error.status,
    headers,
    JSON.stringify(toProblem(error, requestId, docsBaseUrl)),
    problemContentType,
  );
}
