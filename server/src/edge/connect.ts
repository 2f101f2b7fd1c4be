import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { AppError } from '../errors.ts';
import { endWithProblem } from './client-error.ts';
import type { RequestInfoReader } from './request-info.ts';

/** What some path or other answers; the target of a CONNECT is none. */
const allow = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/**
 * Makes the handler of `connect`, which Node gives the bare socket: this is no proxy to anywhere, and says so (405)
 * instead of hanging up.
 *
 * @param docsBaseUrl where /docs/errors lives
 */
export function createConnectHandler(requestInfo: RequestInfoReader, docsBaseUrl: string) {
  return (request: IncomingMessage, socket: Duplex): void => {
    // With the parser Node has taken its listeners off too, and an error that nobody hears would end the process.
    socket.on('error', () => socket.destroy());
    socket.resume();
    const error = new AppError('method_not_allowed', { headers: { Allow: allow } });
    endWithProblem(socket, error, requestInfo.read(request).id, docsBaseUrl);
  };
}
