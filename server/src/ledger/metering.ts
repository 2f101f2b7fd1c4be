import { join } from 'node:path';
import type pg from 'pg';
import { windowOfPeriod } from '../limits/counter-period.ts';
import type { CounterAmount } from '../limits/limits.ts';
import { MemoryLimiter } from '../limits/memory-limiter.ts';
import { windowAt } from '../limits/window.ts';
import type { Log } from '../logs/log.ts';
import { LedgerFold } from './fold.ts';
import type { FoldBounds } from './fold-size.ts';
import { readSnapshot } from './fold-store.ts';
import { Ledger, type LedgerOptions, type LedgerState } from './ledger.ts';
import { LedgerDirectories, type LockDirectory } from './ledger-directories.ts';
import { type LedgerFileSystem, nodeFileSystem } from './ledger-file-system.ts';
import { LedgerFindings } from './ledger-findings.ts';
import { LedgerKeeper } from './ledger-keeper.ts';
import { LedgerTail, type ReplayMemory } from './ledger-tail.ts';
import type { Segment } from './segment-list.ts';
import { WindowSums } from './window-sums.ts';

export interface MeteringOptions {
  /** Of the service's role; two connections are enough. */
  readonly pool: pg.Pool;
  readonly dataDir: string;
  /** 32 hex digits each, see SegmentHeader. */
  readonly dataDirectoryId: string;
  readonly installationId: string;
  /** For how long files are kept that have been folded. */
  readonly keepHours: number;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  /** Filled with what was decided in the last ten minutes about requests that may come again. */
  readonly replays: ReplayMemory;
  readonly fileSystem?: LedgerFileSystem;
  readonly lock?: LockDirectory;
  readonly bounds?: FoldBounds;
  readonly ledger?: Partial<LedgerOptions>;
}

/** Everything between a decision and what the database knows of it. */
export interface Metering {
  readonly ledger: Ledger;
  readonly limiter: MemoryLimiter;
  readonly fold: LedgerFold;
  readonly findings: LedgerFindings;
  readonly keeper: LedgerKeeper;
  readonly directories: LedgerDirectories;
  /** Closes the ledger and folds what is left, once nothing is decided any more. */
  close(): Promise<void>;
}

/** How long a request may be sent again. */
const replayMs = 600_000;

/**
 * Begins to record and to limit where the last process on this data directory has ended: what that has used of the
 * limits stands in the database and, as far as it was not folded, in its files, which are ours from now on.
 *
 * Nothing is folded yet: `fold.start()` does.
 */
export async function openMetering(options: MeteringOptions): Promise<Metering> {
  const { pool, log, nowMs, fileSystem = nodeFileSystem, installationId, dataDirectoryId } = options;
  const findings = new LedgerFindings(log);
  const root = join(options.dataDir, 'ledger');
  const directories = await LedgerDirectories.open({ ...options, fileSystem, root, findings });
  try {
    const adopted = await directories.adopt();
    const segments = adopted.flatMap((directory) => directory.segments);
    segments.sort((one, other) => one.header.createdAtMs - other.header.createdAtMs);
    const limiter = new MemoryLimiter(nowMs);
    const nowSeconds = nowMs() / 1000;
    const add = (used: CounterAmount) => addTo(limiter, used, nowSeconds, findings);
    const segmentIds = segments.map(({ header }) => header.segmentId);
    const { positions, unfinished } = await readSnapshot(
      pool,
      { segmentIds, dataDirectoryId, nowSeconds: Math.floor(nowSeconds) },
      add,
    );
    // Listed after that: what is not finished is not deleted meanwhile.
    const present = await directories.segmentIds();
    for (const { segmentId, position } of unfinished)
      if (!present.has(segmentId)) findings.report('lost_segment', segmentId, { offset: position });

    const ledger = await Ledger.open({
      now: nowMs,
      fileSystem,
      ...options.ledger,
      directory: directories.own,
      installationId,
      dataDirectoryId,
      onState: (state) => tell(log, state),
    });
    const fold = new LedgerFold({
      connection: pool,
      ledger,
      directory: directories.own,
      fileSystem,
      findings,
      log,
      nowMs,
      bounds: options.bounds,
    });
    const tail = new LedgerTail(fileSystem, findings);
    const sums = new WindowSums(nowSeconds);
    for (const segment of segments) {
      const position = positions.get(segment.header.segmentId);
      const unfolded = await tail.addCharges(segment, position?.position ?? segment.begin, sums);
      fold.adopt(segment, position, unfolded);
    }
    for (const used of sums.amounts()) add(used);
    const sinceMs = nowMs() - replayMs;
    // What was folded to its end before that holds nothing newer; there may be days of it.
    const mayBeRecent = ({ header }: Segment) => {
      const position = positions.get(header.segmentId);
      return position?.isFinished !== true || position.foldedAt.getTime() >= sinceMs;
    };
    await tail.recall(
      adopted.map(({ segments: ofOne }) => ofOne.filter(mayBeRecent)),
      sinceMs,
      options.replays,
    );
    const keeper = new LedgerKeeper({
      connection: pool,
      ledger,
      fold,
      directories,
      fileSystem,
      findings,
      log,
      nowMs,
      keepHours: options.keepHours,
      adopted,
    });
    const close = async () => {
      await ledger.close();
      await fold.close();
      await keeper.close();
      await directories.close();
    };
    return { ledger, limiter, fold, findings, keeper, directories, close };
  } catch (error) {
    await directories.close();
    throw error;
  }
}

function addTo(
  limiter: MemoryLimiter,
  used: CounterAmount,
  nowSeconds: number,
  findings: LedgerFindings,
): void {
  const window = windowOfPeriod(used.period);
  try {
    if (window !== null && windowAt(window, used.windowStart * 1000).end <= nowSeconds) return;
    limiter.add(used);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    findings.report('wrong_window', used.id, { kind: used.kind });
  }
}

function tell(log: Log, state: LedgerState): void {
  if (state.kind === 'refusing')
    log.error(
      { reason: state.reason, err: state.error },
      'The ledger can’t be written: keys are refused with 503 until its disk takes it again',
    );
  else if (state.kind === 'writable') log.info({}, 'The ledger is written again');
}
