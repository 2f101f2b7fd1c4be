import { createServer } from 'node:net';
import { exitCodes, StartError, systemErrorCode } from './start-error.ts';

/**
 * Makes sure that the address can be listened on, by doing so for a moment.
 *
 * Done before anything is started, so that a taken port costs nothing and says so at once.
 *
 * @throws {StartError} when it can't
 */
export async function probePort(host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => reject(asListenError(error, host, port)));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()));
  });
}

/** Turns an error of `listen` into the StartError that says what to do; any other error is returned as it is. */
export function asListenError(error: unknown, host: string, port: number): unknown {
  const code = systemErrorCode(error);
  if (code === 'EADDRINUSE') {
    return new StartError(`Port ${port} of ${host} is taken by another program.`, {
      hint: `Stop that program, or choose another port, such as GATELODGE_PORT=${port === 65535 ? 4600 : port + 1}.`,
      exitCode: exitCodes.unavailable,
      cause: error,
    });
  }
  if (code === 'EACCES') {
    return new StartError(`This user may not listen on port ${port}.`, {
      hint: 'Choose a port above 1023 with GATELODGE_PORT and put a proxy in front, or grant CAP_NET_BIND_SERVICE.',
      cause: error,
    });
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return new StartError(`${host} is not an address of this machine.`, {
      hint: 'Set GATELODGE_HOST to 127.0.0.1, 0.0.0.0, :: or an address of this machine.',
      cause: error,
    });
  }
  return error;
}
