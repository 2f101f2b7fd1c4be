import { constants, mkdir, open, readdir, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { syncDirectory } from '../secrets/secret-file.ts';

/** An open segment. Every call may fail as the system call of its name does. */
export interface LedgerFile {
  /** @returns how many bytes were written, which may be fewer */
  write(bytes: Uint8Array, from: number, length: number, position: number): Promise<number>;
  /** Once it resolves, all that was written before it was called survives a power cut. */
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  /** @returns how many bytes were read, which may be fewer; 0 at the end of the file */
  read(into: Uint8Array, at: number, length: number, position: number): Promise<number>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** What the ledger needs of a file system: no more, so that tests can make each call of it fail. */
export interface LedgerFileSystem {
  /**
   * Makes a directory that only its owner may enter, and those above it; there may be one already. Once it resolves,
   * its name survives a power cut.
   */
  makeDirectory(path: string): Promise<void>;
  /** Makes a file that only its owner may open. Fails where there is one. */
  create(path: string): Promise<LedgerFile>;
  openToRead(path: string): Promise<LedgerFile>;
  /** Names in a directory, in no order. */
  list(path: string): Promise<string[]>;
  remove(path: string): Promise<void>;
  /** Once it resolves, the names in the directory survive a power cut. */
  syncDirectory(path: string): Promise<void>;
}

/** The one of this machine. */
export const nodeFileSystem: LedgerFileSystem = {
  async makeDirectory(path) {
    const wanted = resolve(path);
    const first = (await mkdir(wanted, { recursive: true, mode: 0o700 })) ?? wanted;
    // Also where it was there: who made it may not have come to this.
    for (let made = wanted; made.length >= first.length; made = dirname(made))
      await syncDirectory(dirname(made));
  },
  async create(path) {
    return openFile(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
  },
  async openToRead(path) {
    return openFile(path, constants.O_RDONLY);
  },
  async list(path) {
    return readdir(path);
  },
  async remove(path) {
    await unlink(path);
  },
  syncDirectory,
};

async function openFile(path: string, flags: number): Promise<LedgerFile> {
  // O_NOFOLLOW is missing on Windows.
  const handle = await open(path, flags | (constants.O_NOFOLLOW ?? 0), 0o600);
  return {
    write: async (bytes, from, length, position) =>
      (await handle.write(bytes, from, length, position)).bytesWritten,
    datasync: () => handle.datasync(),
    truncate: (length) => handle.truncate(length),
    read: async (into, at, length, position) => (await handle.read(into, at, length, position)).bytesRead,
    size: async () => (await handle.stat()).size,
    close: () => handle.close(),
  };
}
