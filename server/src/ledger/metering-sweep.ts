import type { Queryable } from './fold-store.ts';

export interface SweepOptions {
  readonly connection: Queryable;
  readonly nowMs: () => number;
  /** For how long metered events are kept. */
  readonly eventDays: number;
  /** Rows of a table that one statement deletes at most. */
  readonly atOnce?: number;
}

const dayMs = 86_400_000;
/** Of usage by the hour; that by the day stays. */
const hourBucketDays = 90;
const rowsAtOnce = 1_000;
const accountsAtOnce = 200;
const blocksAtOnce = 200;

/**
 * Deletes what metering no longer needs: windows of limits that are long over, metered events and hours of usage that are
 * too old. A few rows at a time, so that nobody waits for it.
 *
 * @param signal stops it between two statements
 */
export async function sweepMetering(options: SweepOptions, signal: AbortSignal): Promise<void> {
  await sweepEvents(options, signal);
  await sweepWindows(options, signal);
  await sweepHours(options, signal);
}

async function sweepEvents(options: SweepOptions, signal: AbortSignal): Promise<void> {
  const { connection, nowMs, eventDays, atOnce = rowsAtOnce } = options;
  const before = new Date(nowMs() - eventDays * dayMs);
  while (!signal.aborted) {
    const { rows } = await connection.query<{ deleted: number }>(
      'select sweep_metered_events($1, $2) as deleted',
      [before, atOnce],
    );
    if (rows[0]!.deleted < atOnce) return;
  }
}

async function sweepWindows({ connection, nowMs }: SweepOptions, signal: AbortSignal): Promise<void> {
  const nowSeconds = Math.floor(nowMs() / 1000);
  for (let block = 0; !signal.aborted; block += blocksAtOnce) {
    const { rows } = await connection.query<{ all_blocks: number }>(
      'select * from sweep_limit_windows($1, $2, $3)',
      [nowSeconds, block, blocksAtOnce],
    );
    if (block + blocksAtOnce >= rows[0]!.all_blocks) return;
  }
}

async function sweepHours(options: SweepOptions, signal: AbortSignal): Promise<void> {
  const { connection, nowMs, atOnce = rowsAtOnce } = options;
  const before = new Date(nowMs() - hourBucketDays * dayMs);
  let after = '';
  while (!signal.aborted) {
    const { rows } = await connection.query<{ deleted: number; last_account: string | null }>(
      'select * from sweep_hour_buckets($1, $2, $3, $4)',
      [before, after, accountsAtOnce, atOnce],
    );
    const { deleted, last_account: last } = rows[0]!;
    // As long as there is more than one statement takes, the same accounts are looked at again.
    if (deleted >= atOnce) continue;
    if (last === null) return;
    after = last;
  }
}
