import { type Context, errors, Provider } from 'oidc-provider';
import type { Transaction } from '../postgres/database.ts';
import {
  consumeRecord,
  isUsedAt,
  prolongRecord,
  putRecord,
  type RecordScope,
  type RecordValues,
  settledRecord,
} from './record-store.ts';
import type { IssuerRuntime } from './runtime.ts';
import { carryOnSession, lockLiveSession } from './runtime-sessions.ts';

/** A code or a refresh token that a token request shows, and the refresh token that it gets for it. */
interface Redemption {
  readonly runtime: IssuerRuntime;
  readonly scope: RecordScope;
  /** Under which what is shown may stand. */
  readonly digests: readonly Buffer[];
  readonly sessionId: string | null;
  made: MadeToken | null;
}

type Outcome = 'used' | 'reused' | 'missing';

interface MadeToken {
  readonly scope: RecordScope;
  readonly values: RecordValues;
  /** Of the grant that lasts as long as the token. */
  readonly grantDigests: readonly Buffer[];
}

const redemptions = new WeakMap<Context, Redemption>();

/** The request that is under way has shown this. It is used up by `redeem`. */
export function beginRedemption(shown: Omit<Redemption, 'made'>): void {
  redemptions.set(tokenRequest(), { ...shown, made: null });
}

/** The refresh token that the request gets, once it has it. */
export function addToRedemption(made: MadeToken): void {
  const redemption = redemptions.get(tokenRequest());
  if (redemption === undefined) throw new Error('a refresh token for nothing that was shown');
  redemption.made = made;
}

/**
 * Uses up what a token request has shown, and writes what it gets in its place: last of all and in one transaction, so
 * that a request which fails has used nothing up, and its client may send it again. Of any number at once one is first.
 *
 * @throws the library's errors: invalid_grant for all but the first, which ends the session, since two hold what was
 *   shown; slow_down (429) where the session has had its refreshes; temporarily_unavailable (503), which leaves it as it
 *   was where it has a Retry-After
 */
export async function redeem(context: Context): Promise<void> {
  const redemption = redemptions.get(context);
  if (redemption === undefined) return;
  const { runtime, scope, digests, sessionId, made } = redemption;
  const now = runtime.now();
  const isRefresh = scope.model === 'RefreshToken';
  const useUp = async (tx: Transaction): Promise<Outcome> => {
    // The session before its record, as whoever ends it does.
    if (sessionId === null || !(await lockLiveSession(tx, runtime, sessionId))) return 'missing';
    const used = await consumeRecord(tx, scope, digests, now);
    if (used === 'reused')
      await runtime.endSession(tx, { sessionId }, isRefresh ? 'refresh_reuse' : 'code_reuse');
    if (used !== 'used') return used;
    if (isRefresh) await carryOnSession(tx, runtime, sessionId);
    if (made === null) return used;
    await putRecord(tx, made.scope, made.values, now);
    const grants = { ...made.scope, model: 'Grant' };
    await prolongRecord(tx, grants, made.grantDigests, made.values.expires_at);
    return used;
  };
  const outcome = await runtime.inAccountOnce(useUp, (tx, out) => isWritten(tx, redemption, { out, now }));
  if (outcome !== 'used') throw new errors.InvalidGrant(outcome === 'reused' ? 'already used' : 'not found');
}

/** Whether what a redemption has come to was committed; waits for one that has the session in hand. */
async function isWritten(
  tx: Transaction,
  { runtime, scope, digests, sessionId, made }: Redemption,
  { out, now }: { out: Outcome; now: Date },
): Promise<boolean> {
  if (sessionId === null || out === 'missing') return true;
  const isLive = await lockLiveSession(tx, runtime, sessionId);
  if (out === 'reused') return !isLive;
  if (made !== null) return (await settledRecord(tx, made.scope, [made.values.digest])) !== undefined;
  return isUsedAt(await settledRecord(tx, scope, digests), now);
}

function tokenRequest(): Context {
  const context = Provider.ctx;
  if (context === undefined) throw new Error('a token outside of a request');
  return context;
}
