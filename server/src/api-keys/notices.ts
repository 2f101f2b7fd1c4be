import type { EventType } from '../events/event.ts';
import type { JsonObject } from '../postgres/schema.ts';
import type { ApiKeyRow } from './api-key.ts';

/** A key's owner is told this many days before it expires or is due to be rotated, and on the day it is due. */
const daysBefore = [30, 7, 1] as const;
const dayMs = 86_400_000;

type NoticeDates = Pick<ApiKeyRow, 'expires_at' | 'rotation_due_at' | 'rotated_at'>;

/** One `api-key.expiring` or `api-key.rotation_due`, and the moment from which it is due. */
interface Notice {
  type: Extract<EventType, 'api-key.expiring' | 'api-key.rotation_due'>;
  at: number;
  data: JsonObject;
}

/** When the next notice of a key falls due after `now`; null for none. A key that was rotated gets no more of them. */
export function nextNoticeAt(key: NoticeDates, now: Date): Date | null {
  const next = noticesOf(key)
    .map(({ at }) => at)
    .filter((at) => at > now.getTime())
    .reduce((earliest, at) => Math.min(earliest, at), Number.POSITIVE_INFINITY);
  return Number.isFinite(next) ? new Date(next) : null;
}

/**
 * The notices to give now: of each kind the latest that has fallen due from `since` on, so that a node that was away
 * for a month tells what matters and not what has passed. Nobody is told that a key will expire once it has.
 *
 * @param since the key's `next_notice_at`
 */
export function dueNotices(
  key: NoticeDates,
  since: Date,
  now: Date,
): readonly { type: Notice['type']; data: JsonObject }[] {
  const hasExpired = key.expires_at !== null && key.expires_at <= now;
  const latest = new Map<Notice['type'], Notice>();
  if (hasExpired) return [];
  for (const notice of noticesOf(key)) {
    if (notice.at < since.getTime() || notice.at > now.getTime()) continue;
    const known = latest.get(notice.type);
    if (known === undefined || known.at < notice.at) latest.set(notice.type, notice);
  }
  return [...latest.values()].map(({ type, data }) => ({ type, data }));
}

function noticesOf({ expires_at, rotation_due_at, rotated_at }: NoticeDates): Notice[] {
  if (rotated_at !== null) return [];
  const expiring =
    expires_at === null ? [] : daysBefore.map((days) => noticeOf('expiring', expires_at, days));
  const due =
    rotation_due_at === null
      ? []
      : [...daysBefore, 0].map((days) => noticeOf('rotation_due', rotation_due_at, days));
  return [...expiring, ...due];
}

function noticeOf(kind: 'expiring' | 'rotation_due', moment: Date, days: number): Notice {
  const member = kind === 'expiring' ? 'expires_at' : 'rotation_due_at';
  return {
    type: `api-key.${kind}`,
    at: moment.getTime() - days * dayMs,
    data: { days_left: days, [member]: moment.toISOString() },
  };
}
