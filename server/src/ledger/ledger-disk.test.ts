import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { waitFor } from '../../test/harness/process.ts';
import { dataDirectoryId, installationId, numbered, readLedger } from './fixtures/ledger-records.ts';
import { Ledger } from './ledger.ts';

const run = promisify(execFile);
const canMount =
  process.geteuid?.() === 0 &&
  (await run('unshare', ['--mount', 'true']).then(
    () => true,
    () => false,
  ));

test.runIf(canMount)(
  'on a real disk that fills up and is emptied again nothing acknowledged is lost and nothing refused is counted',
  async () => {
    const disk = await mkdtemp(join(tmpdir(), 'gatelodge-ledger-disk-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=755', 'tmpfs', disk]);
    try {
      const directory = join(disk, 'ledger');
      const states: string[] = [];
      const ledger = await Ledger.open({
        directory,
        installationId,
        dataDirectoryId,
        maxSegmentBytes: 1_000_000,
        allocationBytes: 250_000,
        onState: (state) => states.push(state.kind === 'refusing' ? state.reason : state.kind),
      });
      await writeFile(join(disk, 'filler'), Buffer.alloc(4_000_000));
      const acknowledged: number[] = [];
      let number = 0;
      const appendSome = async () => {
        const numbers = Array.from({ length: 300 }, () => ++number);
        await Promise.all(
          numbers.map((one) =>
            ledger.append(numbered(one)).then(() => acknowledged.push(one), expectNoSpace),
          ),
        );
      };
      while (ledger.state.kind === 'writable' && number < 100_000) await appendSome();
      expect(ledger.state).toMatchObject({ kind: 'refusing', reason: 'ENOSPC' });
      await appendSome();
      const before = acknowledged.length;
      await rm(join(disk, 'filler'));
      await waitFor(() => (ledger.state.kind === 'writable' ? true : null));
      await appendSome();
      expect(acknowledged.length).toBe(before + 300);
      await ledger.close();
      expect(states).toEqual(['ENOSPC', 'writable', 'closed']);
      const { numbers, ends, faults } = await readLedger(directory);
      expect(numbers.sort((one, other) => one - other)).toEqual(acknowledged);
      expect(ends.every(({ kind }) => kind === 'end')).toBe(true);
      expect(faults).toEqual([]);
    } finally {
      await run('umount', ['--lazy', disk]);
      await rm(disk, { recursive: true, force: true });
    }
  },
);

function expectNoSpace(error: unknown): void {
  expect(error).toMatchObject({ name: 'LedgerUnavailableError', reason: 'ENOSPC', mayBeCounted: false });
}
