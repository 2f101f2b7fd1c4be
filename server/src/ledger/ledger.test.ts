import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ledgerDirectory } from './fixtures/ledger-load.ts';
import { dataDirectoryId, installationId, numbered, readLedger } from './fixtures/ledger-records.ts';
import { type DiskCall, MemoryDisk } from './fixtures/memory-disk.ts';
import { Ledger, type LedgerOptions, type LedgerState } from './ledger.ts';
import type { LedgerUnavailableError } from './ledger-unavailable.ts';
import { maxRecordBytes } from './record.ts';

const opened: Ledger[] = [];

afterEach(async () => {
  for (const ledger of opened.splice(0)) await ledger.close();
});

interface OpenLedger {
  ledger: Ledger;
  disk: MemoryDisk;
  states: LedgerState[];
  /** Ends the wait before the next attempt. */
  retry: () => void;
  delays: number[];
}

async function open(options: Partial<LedgerOptions> = {}, disk = new MemoryDisk()): Promise<OpenLedger> {
  const states: LedgerState[] = [];
  const delays: number[] = [];
  let release = () => {};
  const ledger = await Ledger.open({
    directory: ledgerDirectory,
    installationId,
    dataDirectoryId,
    fileSystem: disk,
    onState: (state) => states.push(state),
    delay: (ms, signal) => {
      delays.push(ms);
      return new Promise((resolve, reject) => {
        release = resolve;
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
    },
    ...options,
  });
  opened.push(ledger);
  return { ledger, disk, states, delays, retry: () => release() };
}

function callsOf(disk: MemoryDisk, name: DiskCall['name']): number {
  return disk.calls.filter((call) => call.name === name).length;
}

async function reasonOf(append: Promise<void>): Promise<string> {
  return append.then(
    () => 'appended',
    (error: LedgerUnavailableError) => error.reason,
  );
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

describe('appending', () => {
  test('of many at once takes one write and one sync', async () => {
    const { ledger, disk } = await open();
    const [writes, syncs] = [callsOf(disk, 'write'), callsOf(disk, 'datasync')];
    await Promise.all(Array.from({ length: 256 }, (_, number) => ledger.append(numbered(number + 1))));
    expect(callsOf(disk, 'write') - writes).toBe(1);
    expect(callsOf(disk, 'datasync') - syncs).toBe(1);
  });

  test('of what comes in during a sync makes up the next batch', async () => {
    const { ledger, disk } = await open();
    const later: Promise<void>[] = [];
    disk.onCall = ({ name }) => {
      if (name === 'datasync' && later.length === 0) {
        for (let number = 2; number <= 9; number++) later.push(ledger.append(numbered(number)));
      }
      return undefined;
    };
    const syncs = callsOf(disk, 'datasync');
    await ledger.append(numbered(1));
    expect(callsOf(disk, 'datasync') - syncs).toBe(1);
    await Promise.all(later);
    expect(callsOf(disk, 'datasync') - syncs).toBe(2);
    expect((await readLedger(ledgerDirectory, disk)).numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('resolves only once the sync is through', async () => {
    const { ledger, disk } = await open();
    disk.onCall = ({ name }) => (name === 'datasync' ? { crash: true } : undefined);
    let isAcknowledged = false;
    void ledger.append(numbered(1)).then(() => {
      isAcknowledged = true;
    });
    await disk.died;
    await new Promise(setImmediate);
    expect(isAcknowledged).toBe(false);
    // Its work never ends on a dead disk.
    opened.pop();
  });

  test('of a record that can not be is refused, and the others of its batch are none the worse', async () => {
    const { ledger, disk } = await open();
    const answers = await Promise.allSettled([
      ledger.append(numbered(1)),
      ledger.append({ ...numbered(2), issuerId: 'i_none' }),
      ledger.append(numbered(3)),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(answers[1]).toMatchObject({ reason: expect.any(RangeError) });
    expect((await readLedger(ledgerDirectory, disk)).numbers).toEqual([1, 3]);
  });

  test('goes on through writes that take a few bytes at a time', async () => {
    const { ledger, disk } = await open();
    disk.onCall = ({ name }) => (name === 'write' ? { short: 7 } : undefined);
    await Promise.all([1, 2, 3].map((number) => ledger.append(numbered(number))));
    expect((await readLedger(ledgerDirectory, disk)).numbers).toEqual([1, 2, 3]);
  });

  test('of more than may wait is refused', async () => {
    const { ledger, disk } = await open({ maxWaitingBytes: maxRecordBytes + 1024 });
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, number) => reasonOf(ledger.append(numbered(number + 1)))),
    );
    expect(new Set(answers)).toEqual(new Set(['appended', 'full']));
    expect(ledger.state).toEqual({ kind: 'writable' });
    const appended = answers.filter((answer) => answer === 'appended');
    expect((await readLedger(ledgerDirectory, disk)).numbers.length).toBe(appended.length);
  });
});

describe('segments', () => {
  test('of earlier starts are never written again', async () => {
    const first = await open();
    await first.ledger.append(numbered(1));
    await first.ledger.close();
    const before = first.disk.contents();
    const second = await open({}, first.disk);
    await second.ledger.append(numbered(2));
    const after = first.disk.contents();
    expect(after.size).toBe(2);
    for (const [path, content] of before) expect(after.get(path)).toEqual(content);
    expect((await readLedger(ledgerDirectory, first.disk)).numbers.sort()).toEqual([1, 2]);
  });

  test('are followed by a new one at their size, and each but the last is closed in order', async () => {
    const { ledger, disk } = await open({ maxSegmentBytes: 500 });
    for (let number = 1; number <= 30; number++) await ledger.append(numbered(number));
    const { ends, numbers } = await readLedger(ledgerDirectory, disk);
    expect(numbers.length).toBe(30);
    expect(ends.length).toBeGreaterThan(3);
    expect(ends.filter((end) => end.kind === 'end' && end.isSealed).length).toBe(ends.length - 1);
  });

  test('are followed by a new one at their age, but not while they are empty', async () => {
    let nowMs = 1_795_300_000_000;
    const { ledger, disk } = await open({ maxSegmentAgeMs: 60_000, now: () => nowMs });
    nowMs += 60_000;
    await ledger.append(numbered(1));
    expect(disk.contents().size).toBe(1);
    await ledger.append(numbered(2));
    expect(disk.contents().size).toBe(2);
    nowMs += 59_999;
    await ledger.append(numbered(3));
    expect(disk.contents().size).toBe(2);
  });

  test('are known up to where they are on disk, until they are forgotten', async () => {
    const { ledger, disk } = await open();
    const [id] = ledger.ownSegmentIds();
    const begin = ledger.durableEndOf(id!)!;
    await ledger.append(numbered(1));
    expect(ledger.durableEndOf(id!)).toBe(begin + 84);
    expect(ledger.durableEndOf('0'.repeat(32))).toBeUndefined();
    await ledger.close();
    expect(ledger.durableEndOf(id!)).toBe(begin + 84);
    // The space that it took is given back, but for the note that it was closed.
    expect([...disk.contents().values()][0]!.length).toBe(begin + 84 + 8);
    ledger.forget(id!);
    expect(ledger.durableEndOf(id!)).toBeUndefined();
  });
});

describe('a failing disk', () => {
  test.each(['ENOSPC', 'EIO', 'EROFS', 'EDQUOT'])(
    '%s refuses what waits and what comes, says so, and takes it again by itself once it can be written',
    async (code) => {
      const { ledger, disk, states, retry, delays } = await open();
      await ledger.append(numbered(1));
      disk.onCall = () => ({ error: code });
      expect(await Promise.all([2, 3].map((number) => reasonOf(ledger.append(numbered(number)))))).toEqual([
        code,
        code,
      ]);
      expect(ledger.state).toMatchObject({ kind: 'refusing', reason: code });
      expect(await reasonOf(ledger.append(numbered(4)))).toBe(code);
      await until(() => delays.length === 1);
      retry();
      await until(() => delays.length === 2);
      expect(await reasonOf(ledger.append(numbered(5)))).toBe(code);
      disk.onCall = () => undefined;
      retry();
      await until(() => ledger.state.kind === 'writable');
      await ledger.append(numbered(6));
      expect(states.map(({ kind }) => kind)).toEqual(['refusing', 'writable']);
      expect((await readLedger(ledgerDirectory, disk)).numbers.sort()).toEqual([1, 6]);
    },
  );

  test('that fails once refuses that batch alone', async () => {
    const { ledger, disk, states } = await open();
    await ledger.append(numbered(1));
    let failures = 1;
    disk.onCall = ({ name }) => (name === 'datasync' && failures-- > 0 ? { error: 'EIO' } : undefined);
    const refused = reasonOf(ledger.append(numbered(2)));
    await until(() => failures === 0);
    const next = ledger.append(numbered(3));
    expect(await refused).toBe('EIO');
    await next;
    expect(states).toEqual([]);
    expect((await readLedger(ledgerDirectory, disk)).numbers.sort()).toEqual([1, 3]);
  });

  // A failed sync may have written all the same, and a truncation may fail, too: the client has its 503 by then.
  test('that can not take back what it has written has a note about it in the next segment', async () => {
    const { ledger, disk } = await open();
    await ledger.append(numbered(1));
    let failures = 2;
    disk.onCall = ({ name }) =>
      (name === 'datasync' || name === 'truncate') && failures-- > 0 ? { error: 'EIO' } : undefined;
    await expect(ledger.append(numbered(2))).rejects.toMatchObject({ reason: 'EIO', mayBeCounted: false });
    await ledger.append(numbered(3));
    expect((await readLedger(ledgerDirectory, disk)).numbers.sort()).toEqual([1, 3]);
    expect((await readLedger(ledgerDirectory, disk.afterKill())).numbers.sort()).toEqual([1, 3]);
    // The note is on disk for good, so the segments after that one need not repeat it.
    expect(ledger.ownSegmentIds().map((id) => ledger.durableEndOf(id))).toEqual([70 + 84, 70 + 30 + 84]);
  });

  test('keeps such a note also where the segment that holds it fails, and the machine after it', async () => {
    const { ledger, disk } = await open();
    await ledger.append(numbered(1));
    let failures = 2;
    disk.onCall = ({ name }) =>
      (name === 'datasync' || name === 'truncate') && failures-- > 0 ? { error: 'EIO' } : undefined;
    await expect(ledger.append(numbered(2))).rejects.toMatchObject({ mayBeCounted: false });
    let creations = 0;
    disk.onCall = ({ name, length }) => {
      if (name === 'write' && length === 84) return { error: 'EIO' };
      return name === 'create' && creations++ === 0 ? { crash: true } : undefined;
    };
    void ledger.append(numbered(3));
    await disk.died;
    expect((await readLedger(ledgerDirectory, disk.afterKill())).numbers).toEqual([1]);
    opened.pop();
  });

  test('that takes headers but no records is not tried in a loop, and leaves no heap of files behind', async () => {
    const { ledger, disk, delays, retry } = await open();
    disk.onCall = ({ name, length }) => (name === 'write' && length === 84 ? { error: 'ENOSPC' } : undefined);
    for (let attempt = 1; attempt <= 10; attempt++) {
      expect(await reasonOf(ledger.append(numbered(attempt)))).toBe('ENOSPC');
      await until(() => delays.length === attempt);
      expect(ledger.state.kind).toBe('refusing');
      retry();
      await until(() => ledger.state.kind === 'writable');
    }
    expect(disk.contents().size).toBe(1);
  });

  test('at the start is told, and the ledger opens by itself later', async () => {
    const disk = new MemoryDisk();
    disk.onCall = () => ({ error: 'EROFS' });
    const { ledger, states, delays, retry } = await open({}, disk);
    expect(ledger.state).toMatchObject({ kind: 'refusing', reason: 'EROFS' });
    expect(await reasonOf(ledger.append(numbered(1)))).toBe('EROFS');
    await until(() => delays.length === 1);
    disk.onCall = () => undefined;
    retry();
    await until(() => ledger.state.kind === 'writable');
    await ledger.append(numbered(2));
    expect(states.map(({ kind }) => kind)).toEqual(['refusing', 'writable']);
  });

  test('is tried less and less often, but at least every five seconds', async () => {
    const disk = new MemoryDisk();
    disk.onCall = () => ({ error: 'EIO' });
    const { delays, retry } = await open({}, disk);
    for (let attempt = 1; attempt <= 9; attempt++) {
      await until(() => delays.length === attempt);
      retry();
    }
    await until(() => delays.length === 10);
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000]);
  });
});

describe('closing', () => {
  test('writes what waits, closes the segment in order and takes no more', async () => {
    const { ledger, disk } = await open();
    const waiting = [1, 2, 3].map((number) => ledger.append(numbered(number)));
    const closed = ledger.close();
    expect(await reasonOf(ledger.append(numbered(4)))).toBe('closed');
    await Promise.all([...waiting, closed, ledger.close()]);
    const { numbers, ends } = await readLedger(ledgerDirectory, disk);
    expect(numbers).toEqual([1, 2, 3]);
    expect(ends).toMatchObject([{ kind: 'end', isSealed: true }]);
  });

  test('ends at once while the disk is refusing', async () => {
    const disk = new MemoryDisk();
    disk.onCall = () => ({ error: 'EIO' });
    const { ledger } = await open({}, disk);
    await ledger.close();
    expect(ledger.state).toEqual({ kind: 'closed' });
    expect(await reasonOf(ledger.append(numbered(1)))).toBe('closed');
  });
});

describe('on the file system of this machine', () => {
  test('segments are files that only their owner may open, in a directory that only the owner may enter', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'gatelodge-ledger-'));
    const directory = join(parent, 'ledger');
    const ledger = await Ledger.open({ directory, installationId, dataDirectoryId });
    await Promise.all([1, 2, 3].map((number) => ledger.append(numbered(number))));
    await ledger.close();
    const files = await readdir(directory);
    expect(files).toEqual([expect.stringMatching(/^[0-9a-f]{32}\.segment$/)]);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, files[0]!))).mode & 0o777).toBe(0o600);
    const { numbers, ends } = await readLedger(directory);
    expect(numbers).toEqual([1, 2, 3]);
    expect(ends).toMatchObject([{ kind: 'end', isSealed: true }]);
    await rm(parent, { recursive: true });
  });
});
