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
  const socket = process.platform === 'linux' ? await listenAbstract(directory.id) : undefined;
  if (socket === 'taken') throw taken(directory);
  const file = await lockFile(join(directory.path, 'lock'));
  if (file === 'taken') {
    socket?.close();
    throw taken(directory);
  }
  return {
    release: async () => {
      await file.release();
      if (socket) await close(socket);
    },
  };
}

/**
 * Takes a name for this process alone, until it is released or the process ends: on Linux an abstract Unix socket, which
 * whoever shares its data directory with us sees as well, elsewhere a lock on a file.
 *
 * @param id 32 hex digits
 * @param path of the file, whose directory exists where it is needed
 * @returns null when another process has it
 */
export async function tryLock(id: string, path: string): Promise<Lock | null> {
  if (process.platform === 'linux') {
    const socket = await listenAbstract(id);
    return socket === 'taken' ? null : { release: () => close(socket) };
  }
  const file = await lockFile(path);
  return file === 'taken' ? null : file;
}

function listenAbstract(id: string): Promise<Server | 'taken'> {
  return new Promise((resolve, reject) => {
    // Nobody has business connecting; whoever does is hung up on.
    const server = createServer((connection) => connection.destroy());
    server.once('error', (error) => {
      if (systemErrorCode(error) === 'EADDRINUSE') resolve('taken');
      else reject(error);
    });
    server.listen({ path: `\0gatelodge-${id}` }, () => {
      server.unref();
      resolve(server);
    });
  });
}

function close(socket: Server): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()));
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
