import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A place where a secret was found that it must not be in. */
export interface Find {
  what: string;
  where: string;
}

/**
 * Secrets to be looked for, in every form in which one might have been written down: as it is, a good part of it, in
 * base64 and hexadecimal, and its plain SHA-256, by which a thief of the database could try guesses.
 */
export class Needles {
  /** By their first four bytes. */
  readonly #byStart = new Map<number, { what: string; bytes: Buffer }[]>();
  /** Whether any begins with these two bytes: most of a haystack is passed over by this alone. */
  readonly #starts = new Uint8Array(65_536);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** The secret of an API key: also two parts of its random middle, should somebody have cut it. */
  addKey(what: string, secret: string): void {
    this.addSecret(what, secret);
    this.#add(`${what}, a part`, Buffer.from(secret.slice(-44, -28)));
    this.#add(`${what}, another part`, Buffer.from(secret.slice(-28, -12)));
  }

  /** Any secret, a text or bytes. */
  addSecret(what: string, secret: string | Buffer): void {
    const bytes = Buffer.from(secret as string);
    const digest = createHash('sha256').update(bytes).digest();
    this.#add(what, bytes);
    for (const [form, content] of [
      ['', bytes],
      [', SHA-256', digest],
    ] as const) {
      this.#add(`${what}${form}, base64`, Buffer.from(content.toString('base64').replace(/=+$/, '')));
      this.#add(`${what}${form}, base64url`, Buffer.from(content.toString('base64url')));
      this.#add(`${what}${form}, hexadecimal`, Buffer.from(content.toString('hex')));
    }
    this.#add(`${what}, SHA-256`, digest);
  }

  /** Every needle that stands in the haystack. */
  findIn(haystack: Buffer | string, where: string): Find[] {
    const bytes = typeof haystack === 'string' ? Buffer.from(haystack) : haystack;
    const finds: Find[] = [];
    for (let at = 0; at + 4 <= bytes.length; at++) {
      if (this.#starts[bytes[at]! | (bytes[at + 1]! << 8)] === 0) continue;
      for (const { what, bytes: needle } of this.#byStart.get(bytes.readUInt32LE(at)) ?? []) {
        if (bytes.subarray(at, at + needle.length).equals(needle)) finds.push({ what, where });
      }
    }
    return finds;
  }

  /** Every needle in the files below a directory, and how many bytes were looked through. */
  async findInFiles(directory: string): Promise<{ finds: Find[]; bytes: number }> {
    const finds: Find[] = [];
    let bytes = 0;
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const content = await readFile(path);
      bytes += content.length;
      finds.push(...this.findIn(content, path));
    }
    return { finds, bytes };
  }

  #add(what: string, bytes: Buffer): void {
    if (bytes.length < 12) throw new RangeError(`${what} is too short to be looked for`);
    const start = bytes.readUInt32LE(0);
    this.#byStart.set(start, [...(this.#byStart.get(start) ?? []), { what, bytes }]);
    this.#starts[start & 0xffff] = 1;
    this.#count++;
  }
}
