import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { AppError, type ErrorCode } from '../errors.ts';
import { problemContentType, toProblem } from '../http/problem.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

const codeOfParserError: Record<string, ErrorCode> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

/**
 * For how long the rest of a request that is refused half-way is read and thrown away. Closing with it unread would
 * reset the connection, and the client would see that instead of the answer.
 */
const lingerMs = 1_000;

/** As node:http keeps it on the socket: the answer under way, if any. */
type ServedSocket = Duplex & { _httpMessage?: ServerResponse | null };

/**
 * Makes the handler of `clientError`: it answers what node:http itself could not parse, and ends the connection.
 * Where an answer is under way already it only ends the connection, since a second one would run into the first.
 *
 * @param docsBaseUrl where /docs/errors lives
 */
export function createClientErrorHandler(docsBaseUrl: string) {
  const answered = new WeakSet<ServedSocket>();
  return (error: NodeJS.ErrnoException, socket: ServedSocket): void => {
    // Whatever comes after what could not be parsed is an error again.
    if (answered.has(socket)) return;
    if (error.code === 'ECONNRESET' || !socket.writable || socket._httpMessage?.headersSent === true) {
      socket.destroy();
      return;
    }
    const appError = new AppError(codeOfParserError[error.code ?? ''] ?? 'bad_request', { cause: error });
    answered.add(socket);
    endWithProblem(socket, appError, newId(idPrefixes.request), docsBaseUrl);
  };
}

/** Writes an error straight to the socket, as the last that it carries. */
export function endWithProblem(
  socket: Duplex,
  error: AppError,
  requestId: string,
  docsBaseUrl: string,
): void {
  const body = JSON.stringify(toProblem(error, requestId, docsBaseUrl));
  const head = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    `X-Request-Id: ${requestId}`,
    ...Object.entries(error.headers).map(([name, value]) => `${name}: ${value}`),
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    `Content-Type: ${problemContentType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once('close', () => clearTimeout(timer));
}
