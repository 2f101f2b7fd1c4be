import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { DataDirectory } from './data-directory.ts';
import { lockFile } from './file-lock.ts';
import { exitCodes, StartError, systemErrorCode } from './start-error.ts';

export type Lock = { release(): Promise<void> };

/**
 * Takes a data directory for this process alone.
 *
 * On Linux the lock is an abstract Unix socket named after the installation's random id: it has no file that could be
 * left behind, and the kernel frees it whatever ends the process. Abstract names are seen within one network namespace
 * only, so two containers on one volume are kept apart by a lock on a file as well (elsewhere than on Linux that is
 * all there is).
 *
 * @throws {StartError} when another process has it
 */
export async function lockDataDirectory(directory: DataDirectory): Promise<Lock> {
  const socket = process.platform === 'linux' ? await listenAbstract(directory) : undefined;
  const file = await lockFile(join(directory.path, 'lock'));
  if (file === 'taken') {
    socket?.close();
    throw taken(directory);
  }
  return {
    release: async () => {
      await file.release();
      if (socket) await new Promise((resolve) => socket.close(resolve));
    },
  };
}

function listenAbstract(directory: DataDirectory): Promise<Server> {
  return new Promise((resolve, reject) => {
    // Nobody has business connecting; whoever does is hung up on.
    const server = createServer((connection) => connection.destroy());
    server.once('error', (error) => {
      reject(systemErrorCode(error) === 'EADDRINUSE' ? taken(directory) : error);
    });
    server.listen({ path: `\0gatelodge-${directory.id}` }, () => {
      server.unref();
      resolve(server);
    });
  });
}

function taken(directory: DataDirectory): StartError {
  return new StartError(
    `Another Gatelodge runs on the data directory ${directory.path}, or on a copy of it.`,
    {
      hint: 'Stop it first, or start this one on another directory (GATELODGE_DATA_DIR) and port (GATELODGE_PORT).',
      exitCode: exitCodes.unavailable,
    },
  );
}
