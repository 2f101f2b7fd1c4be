import { fdatasync, write } from 'node:fs';
import { constants, mkdir, open, readdir, rmdir, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { syncDirectory } from '../secrets/secret-file.ts';

/** An open segment. Every call may fail as the system call of its name does. */
export interface LedgerFile {
  /** @returns how many bytes were written, which may be fewer */
  write(bytes: Uint8Array, from: number, length: number, position: number): Promise<number>;
  /** As `write` and then `datasync`, in one call where the system has one: of fewer bytes, those survive. */
  writeDurably(bytes: Uint8Array, from: number, length: number, position: number): Promise<number>;
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
  /** Fails where something is in it. */
  removeDirectory(path: string): Promise<void>;
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
    const file = await openFile(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
    // A write through O_DSYNC is on disk when it returns: half the system calls, threads and wakings of a batch.
    const durable = await openHandle(path, constants.O_WRONLY | (constants.O_DSYNC ?? 0)).catch(
      async (error) => {
        await file.close();
        throw error;
      },
    );
    const { fd } = durable;
    return {
      ...file,
      writeDurably: (bytes, from, length, position) => writeThrough(fd, bytes, from, length, position),
      close: async () => {
        await durable.close();
        await file.close();
      },
    };
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
  async removeDirectory(path) {
    await rmdir(path);
  },
  syncDirectory,
};

/** O_NOFOLLOW is missing on Windows. */
function openHandle(path: string, flags: number) {
  return open(path, flags | (constants.O_NOFOLLOW ?? 0), 0o600);
}

/** By the plain call: a FileHandle's own costs as much again as the write. */
function writeThrough(
  fd: number,
  bytes: Uint8Array,
  from: number,
  length: number,
  position: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null, written: number) =>
      error === null ? resolve(written) : reject(error);
    write(fd, bytes, from, length, position, (error, written) => {
      // macOS has the flag and does not keep its promise; nowhere else is a second call needed.
      if (error === null && process.platform !== 'linux') fdatasync(fd, (failed) => settle(failed, written));
      else settle(error, written);
    });
  });
}

async function openFile(path: string, flags: number): Promise<LedgerFile> {
  const handle = await openHandle(path, flags);
  return {
    write: async (bytes, from, length, position) =>
      (await handle.write(bytes, from, length, position)).bytesWritten,
    writeDurably: async (bytes, from, length, position) => {
      const { bytesWritten } = await handle.write(bytes, from, length, position);
      await handle.datasync();
      return bytesWritten;
    },
    datasync: () => handle.datasync(),
    truncate: (length) => handle.truncate(length),
    read: async (into, at, length, position) => (await handle.read(into, at, length, position)).bytesRead,
    size: async () => (await handle.stat()).size,
    close: () => handle.close(),
  };
}
