import { setImmediate as nextTurn } from 'node:timers/promises';
import { eventIdAt } from './event-id.ts';
import { type FoldSums, readTallyKey } from './fold-sums.ts';
import { outcomeOf } from './outcome.ts';
import type { KeySums, Level } from './subjects.ts';
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
  const usage = new UsageColumns();
  const uses = new UseColumns();
  const events = new EventColumns();
  const windows = new WindowColumns();
  await inPieces(sums.levels(), (level) => usage.add(level));
  await inPieces(sums.keys(), (key) => {
    uses.add(key);
    events.add(key);
  });
  await inPieces(sums.windows(), (amount) => windows.add(amount));
  const texts: string[] = [];
  for (const table of [usage, uses, events, windows])
    for (const column of Object.values(table) as readonly (string | number | boolean)[][]) {
      texts.push(column.join(','));
      await nextTurn();
    }
  return texts;
}

async function inPieces<Row>(rows: Iterable<Row>, add: (row: Row) => void): Promise<void> {
  let count = 0;
  for (const row of rows) {
    add(row);
    if (++count % rowsAtOnce === 0) await nextTurn();
  }
}

// The members of each are the columns of its table, in the order of the function's parameters.

class UsageColumns {
  readonly account: string[] = [];
  readonly level: string[] = [];
  readonly subject: string[] = [];
  readonly environment: string[] = [];
  readonly issuer: string[] = [];
  readonly organization: string[] = [];
  readonly code: string[] = [];
  readonly management: boolean[] = [];
  readonly count: number[] = [];
  readonly cost: number[] = [];

  add({ accountId, kind, id, issuerId, organizationId, tallies }: Level): void {
    for (const { key, count, cost } of tallies) {
      const { outcome, isManagement, isSandbox } = readTallyKey(key);
      this.account.push(accountId);
      this.level.push(kind);
      this.subject.push(id);
      this.environment.push(environmentOf(isSandbox));
      this.issuer.push(issuerId ?? none);
      this.organization.push(organizationId ?? none);
      this.code.push(outcomeOf(outcome)!);
      this.management.push(isManagement);
      this.count.push(count);
      this.cost.push(cost);
    }
  }
}

class UseColumns {
  readonly account: string[] = [];
  readonly key: string[] = [];
  readonly used: number[] = [];

  add({ accountId, id, lastUsedMs }: KeySums): void {
    if (lastUsedMs === null) return;
    this.account.push(accountId);
    this.key.push(id);
    this.used.push(lastUsedMs);
  }
}

class EventColumns {
  readonly id: string[] = [];
  readonly account: string[] = [];
  readonly key: string[] = [];
  readonly issuer: string[] = [];
  readonly environment: string[] = [];
  readonly code: string[] = [];
  readonly first: number[] = [];
  readonly last: number[] = [];
  readonly count: number[] = [];

  add({ id, accountId, issuerId, events }: KeySums): void {
    for (const { outcome, isSandbox, firstMs, lastMs, count } of events) {
      this.id.push(eventIdAt(firstMs));
      this.account.push(accountId);
      this.key.push(id);
      this.issuer.push(issuerId ?? none);
      this.environment.push(environmentOf(isSandbox));
      this.code.push(outcomeOf(outcome)!);
      this.first.push(firstMs);
      this.last.push(lastMs);
      this.count.push(count);
    }
  }
}

class WindowColumns {
  readonly account: string[] = [];
  readonly kind: string[] = [];
  readonly subject: string[] = [];
  readonly environment: string[] = [];
  readonly name: string[] = [];
  readonly period: string[] = [];
  readonly start: number[] = [];
  readonly used: number[] = [];

  add({ accountId, kind, id, environment, name, period, windowStart, amount }: WindowAmount): void {
    this.account.push(accountId);
    this.kind.push(kind);
    this.subject.push(id);
    this.environment.push(environment);
    this.name.push(name);
    this.period.push(period);
    this.start.push(windowStart);
    // No limit is as great; beyond it there would be no whole number to tell.
    this.used.push(Math.min(amount, Number.MAX_SAFE_INTEGER));
  }
}

function environmentOf(isSandbox: boolean): string {
  return isSandbox ? 'sandbox' : 'live';
}
