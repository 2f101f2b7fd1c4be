import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Whether this process may mount a file system; only root may, and not in every container. */
export const canMount =
  process.geteuid?.() === 0 &&
  (await run('unshare', ['--mount', 'true']).then(
    () => true,
    () => false,
  ));

/** A disk of its own for one test: a tmpfs, whose size can be changed. */
export class SmallDisk implements AsyncDisposable {
  readonly path: string;

  static async mount(size: string): Promise<SmallDisk> {
    const path = await mkdtemp(join(tmpdir(), 'gatelodge-disk-'));
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=755`, 'tmpfs', path]);
    return new SmallDisk(path);
  }

  private constructor(path: string) {
    this.path = path;
  }

  async remount(options: string): Promise<void> {
    await run('mount', ['-o', `remount,${options}`, this.path]);
  }

  /** Takes every byte that is left, until `makeRoom`. */
  async fill(): Promise<void> {
    await run('dd', ['if=/dev/zero', `of=${join(this.path, 'filler')}`, 'bs=64k']).catch(() => {});
    await run('dd', ['if=/dev/zero', `of=${join(this.path, 'crumbs')}`, 'bs=1k']).catch(() => {});
  }

  async makeRoom(): Promise<void> {
    for (const name of ['filler', 'crumbs']) await rm(join(this.path, name), { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('umount', ['--lazy', this.path]);
    await rm(this.path, { recursive: true, force: true });
  }
}
