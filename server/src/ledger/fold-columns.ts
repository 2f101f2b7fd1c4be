import { setImmediate as nextTurn } from 'node:timers/promises';
import { eventIdAt } from './event-id.ts';
import { type FoldSums, type KeySums, readTallyKey, type UsageLevel } from './fold-sums.ts';
import { outcomeOf } from './outcome.ts';
import type { WindowAmount } from './window-sums.ts';

/** Stands for nothing: an empty text could not be told from no value at all. */
const none = '-';
/** So many rows take less than a millisecond; then other work has its turn. */
const rowsAtOnce = 500;

/**
 * Writes sums down as what `fold_ledger` takes: of each table its columns, each a text of values divided by commas. In
 * pieces, so that nothing else has to wait for long; the sums are not to change meanwhile.
 */
export async function toColumns(sums: FoldSums): Promise<string[]> {
  const usage = columns(10);
  const uses = columns(3);
  const events = columns(9);
  const windows = columns(8);
  const write = async <Row>(rows: Iterable<Row>, add: (row: Row) => void) => {
    let count = 0;
    for (const row of rows) {
      add(row);
      if (++count % rowsAtOnce === 0) await nextTurn();
    }
  };
  await write(sums.levels(), (level) => addUsage(usage, level));
  await write(sums.keys(), (key) => {
    if (key.lastUsedMs !== null) add(uses, key.accountId, key.id, key.lastUsedMs);
    addEvents(events, key);
  });
  await write(sums.windows.amounts(), (amount) => addWindow(windows, amount));
  const texts: string[] = [];
  for (const column of [...usage, ...uses, ...events, ...windows]) {
    texts.push(column.join(','));
    await nextTurn();
  }
  return texts;
}

type Columns = (string | number)[][];

function columns(count: number): Columns {
  return Array.from({ length: count }, () => []);
}

function add(to: Columns, ...values: readonly (string | number)[]): void {
  for (let column = 0; column < to.length; column++) to[column]!.push(values[column]!);
}

function addUsage(to: Columns, { accountId, kind, id, issuerId, organizationId, tallies }: UsageLevel): void {
  for (const { key, count, cost } of tallies) {
    const { outcome, isManagement, isSandbox } = readTallyKey(key);
    const place = [accountId, kind, id, environmentOf(isSandbox), issuerId ?? none, organizationId ?? none];
    add(to, ...place, outcomeOf(outcome)!, String(isManagement), count, cost);
  }
}

function addEvents(to: Columns, { id, accountId, issuerId, events }: KeySums): void {
  for (const { outcome, isSandbox, firstMs, lastMs, count } of events) {
    const place = [accountId, id, issuerId ?? none, environmentOf(isSandbox)];
    add(to, eventIdAt(firstMs), ...place, outcomeOf(outcome)!, firstMs, lastMs, count);
  }
}

function addWindow(to: Columns, amount: WindowAmount): void {
  const { accountId, kind, id, environment, name, period, windowStart, amount: used } = amount;
  add(to, accountId, kind, id, environment, name, period, windowStart, used);
}

function environmentOf(isSandbox: boolean): string {
  return isSandbox ? 'sandbox' : 'live';
}
