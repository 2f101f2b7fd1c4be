import type pg from 'pg';
import type { CounterPeriod } from '../limits/counter-period.ts';
import type { LevelKind } from '../limits/limits.ts';
import { toColumns } from './fold-columns.ts';
import type { FoldSums } from './fold-sums.ts';
import type { SegmentHeader } from './segment-header.ts';
import type { WindowAmount } from './window-sums.ts';

/** How far a segment has been folded. */
export interface SegmentPosition {
  readonly segmentId: string;
  readonly position: number;
  readonly isFinished: boolean;
  readonly lostBytes: number;
  readonly foldedAt: Date;
}

/** One step of a fold. */
export interface FoldStep {
  readonly header: SegmentHeader;
  /** Where the segment is believed to be; null where it has no row yet. */
  readonly expected: number | null;
  readonly reached: number;
  readonly isFinished: boolean;
  /** Bytes between the two that could not be read. */
  readonly lostBytes: number;
  readonly sums: FoldSums;
  readonly nowMs: number;
}

/** A connection, or whatever else answers a query. */
export type Queryable = Pick<pg.Pool | pg.PoolClient, 'query'>;

const parameters = Array.from({ length: 40 }, (_, index) => `$${index + 1}`).join(', ');

/**
 * Moves a segment's position and adds the sums to the tables, all or nothing.
 *
 * @returns where the segment is now: at `reached`, or where it was found to be instead, nothing having been done then;
 *   null where it has no row
 */
export async function foldStep(connection: Queryable, step: FoldStep): Promise<number | null> {
  const { header, expected, reached, isFinished, lostBytes, sums, nowMs } = step;
  const columns = await toColumns(sums);
  const { rows } = await connection.query<{ position: number }>({
    name: 'fold_ledger',
    text: `select fold_ledger(${parameters}) as position`,
    values: [
      header.segmentId,
      header.dataDirectoryId,
      new Date(header.createdAtMs),
      expected === null,
      expected ?? 0,
      reached,
      isFinished,
      lostBytes,
      new Date(nowMs),
      sums.hour,
      ...columns,
    ],
  });
  const { position } = rows[0]!;
  return position === -1 ? null : position;
}

/** Of those segments that have a row. */
export async function readPositions(
  connection: Queryable,
  segmentIds: readonly string[],
): Promise<Map<string, SegmentPosition>> {
  if (segmentIds.length === 0) return new Map();
  const { rows } = await connection.query<SegmentPosition>(
    `select ${positionColumns} from ledger_segments where segment_id = any ($1)`,
    [segmentIds],
  );
  return new Map(rows.map((row) => [row.segmentId, row]));
}

/** Of the segments of a data directory of which more has to come. */
export async function readUnfinished(
  connection: Queryable,
  dataDirectoryId: string,
): Promise<SegmentPosition[]> {
  const { rows } = await connection.query<SegmentPosition>(
    `select ${positionColumns} from ledger_segments where data_directory_id = $1 and not is_finished`,
    [dataDirectoryId],
  );
  return rows;
}

const positionColumns = `segment_id as "segmentId", position, is_finished as "isFinished",
  lost_bytes as "lostBytes", folded_at as "foldedAt"`;

/** What of metering a start needs, as it was at one moment. */
export interface MeteringSnapshot {
  readonly positions: ReadonlyMap<string, SegmentPosition>;
  readonly unfinished: readonly SegmentPosition[];
}

/**
 * Reads positions and windows of limits as they were at one moment: a fold that is under way, by a process that was
 * killed a moment ago, is in both of them or in neither.
 *
 * @param onWindow told of each window that is not over, and of some that are since less than a month
 */
export async function readSnapshot(
  pool: pg.Pool,
  wanted: { segmentIds: readonly string[]; dataDirectoryId: string; nowSeconds: number },
  onWindow: (window: WindowAmount) => void,
): Promise<MeteringSnapshot> {
  const client = await pool.connect();
  let error: unknown;
  try {
    await client.query('begin isolation level repeatable read read only');
    const positions = await readPositions(client, wanted.segmentIds);
    const unfinished = await readUnfinished(client, wanted.dataDirectoryId);
    await readWindows(client, wanted.nowSeconds, onWindow);
    await client.query('commit');
    return { positions, unfinished };
  } catch (caught) {
    error = caught;
    throw caught;
  } finally {
    // One that failed goes, with whatever state it is in.
    client.release(error !== undefined);
  }
}

interface WindowRow {
  account_id: string;
  kind: LevelKind;
  subject_id: string;
  environment: 'live' | 'sandbox';
  name: string;
  period: CounterPeriod;
  window_start: number;
  used: number;
}

const windowsAtOnce = 10_000;

async function readWindows(
  client: Queryable,
  nowSeconds: number,
  onWindow: (window: WindowAmount) => void,
): Promise<void> {
  let after = ['', '', '', '', '', ''];
  for (;;) {
    const { rows } = await client.query<WindowRow>(
      'select * from lookup_limit_windows($1, $2, $3, $4, $5, $6, $7, $8)',
      [nowSeconds, ...after, windowsAtOnce],
    );
    for (const row of rows) {
      onWindow({
        accountId: row.account_id,
        kind: row.kind,
        id: row.subject_id,
        environment: row.environment,
        name: row.name,
        period: row.period,
        windowStart: row.window_start,
        amount: row.used,
      });
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < windowsAtOnce) return;
    after = [last.account_id, last.kind, last.subject_id, last.environment, last.name, last.period];
  }
}
