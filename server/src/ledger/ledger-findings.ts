import type { Log } from '../logs/log.ts';

/**
 * What can be wrong with a ledger, see `tellOf`. None of it stops a node: decisions go on being recorded and counted, and
 * nothing is counted twice. But somebody has to look.
 */
export type FindingKind =
  | 'corrupt'
  | 'truncated'
  | 'torn_records'
  | 'past_end'
  | 'unknown_version'
  | 'foreign'
  | 'misnamed'
  | 'no_segment'
  | 'lost_file'
  | 'lost_segment'
  | 'unreadable'
  | 'wrong_window';

export interface Finding {
  readonly kind: FindingKind;
  readonly segmentId: string;
}

const messages: Record<FindingKind, string> = {
  corrupt:
    'A segment of the ledger is damaged: acknowledged decisions are lost; what is whole after them is counted',
  truncated: 'A segment of the ledger ends too early: acknowledged decisions are lost',
  torn_records:
    'The last batch of a segment of the ledger is damaged: a power cut leaves it like that, or acknowledged decisions are lost',
  past_end:
    'More has been counted of a segment of the ledger than its file holds: it is an older copy, or was cut off',
  unknown_version:
    'A newer version of Gatelodge wrote in a segment of the ledger; from there on nothing is counted',
  foreign: 'A segment of the ledger is of another installation and is not counted',
  misnamed: 'A segment of the ledger has the name of another one and is not counted',
  no_segment: 'The beginning of a segment of the ledger is damaged: its decisions are lost',
  lost_file:
    'A segment of the ledger has gone while it was in use: decisions that were not counted yet are lost',
  lost_segment:
    'A segment of the ledger that was not counted to its end is not there: its decisions are lost',
  unreadable:
    'The disk does not give what is in a directory or a segment of the ledger: its decisions are counted once it does',
  wrong_window: 'What a limit has used can’t be true and is taken for nothing',
};

/** What was found to be wrong since the start; each of it is logged once. */
export class LedgerFindings {
  readonly #log: Log;
  readonly #found = new Map<string, Finding>();

  constructor(log: Log) {
    this.#log = log;
  }

  get count(): number {
    return this.#found.size;
  }

  list(): Finding[] {
    return [...this.#found.values()];
  }

  /** Whether there is something about this segment for which its file should stay. */
  keeps(segmentId: string): boolean {
    return this.list().some((finding) => finding.segmentId === segmentId && finding.kind !== 'torn_records');
  }

  report(kind: FindingKind, segmentId: string, members: Record<string, unknown> = {}): void {
    const key = `${kind} ${segmentId}`;
    if (this.#found.has(key)) return;
    this.#found.set(key, { kind, segmentId });
    this.#log.error({ reason: kind, segment_id: segmentId, ...members }, messages[kind]);
  }
}
