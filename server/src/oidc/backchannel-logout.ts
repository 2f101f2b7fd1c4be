import { randomUUID } from 'node:crypto';
import type { ClientDirectory } from '../clients/client-directory.ts';
import { insertEvents } from '../events/event-store.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import { Lanes } from '../jobs/lanes.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { OutboundClient } from '../outbound/outbound-client.ts';
import { OutboundError } from '../outbound/outbound-error.ts';
import type { Database } from '../postgres/database.ts';
import {
  claimLogoutNotices,
  deleteLogoutNotice,
  type LogoutNotice,
  postponeLogoutNotice,
} from '../sessions/logout-notice-store.ts';
import type { Settings } from '../settings.ts';
import type { SigningKeys } from '../signing-keys/signing-keys.ts';
import { logoutTokenType } from '../tokens/jwt.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';

const everyMs = 1_000;
/** Clients that a node tells at the same time: fewer than the calls that it makes at once. */
const lanes = 40;
/** Of one account: where its receivers do not answer, others are told all the same. */
const lanesOfAccount = 4;
const timeoutMs = 5_000;
const leaseMs = 60_000;
/** Seconds until the next try after each one that has failed; then it is given up. */
const pauses = [5, 30, 120, 600];
const tokenSeconds = 120;

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  database: Database;
  keys: KeyDirectory;
  clients: ClientDirectory;
  signingKeys: Pick<SigningKeys, 'sign'>;
  outbound: Pick<OutboundClient, 'fetch'>;
  log: Log;
  now: () => Date;
}

/**
 * Tells clients that sessions of theirs have ended (OpenID Connect Back-Channel Logout 1.0 §2.5), on any number of nodes. What
 * there is to tell stands in the database since the transaction that has ended them, so it is told also after a crash; one
 * that can't be told is given up after ten minutes, with an event.
 */
export class BackchannelLogout {
  readonly #deps: Dependencies;
  readonly #job: Periodic;
  readonly #lanes: Lanes;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    const { log } = deps;
    this.#job = new Periodic({ name: 'back-channel logout', everyMs, log, work: () => this.#claim() });
    this.#lanes = new Lanes({ most: lanes, mostOfAccount: lanesOfAccount, onFree: () => this.#job.wake() });
  }

  start(): void {
    this.#job.start();
  }

  /** Claims no more, and resolves once nothing is under way. */
  async close(): Promise<void> {
    await this.#job.close();
    await this.#lanes.settled();
  }

  /** Takes as many as there are free lanes; whichever is free again looks for more. */
  async #claim(): Promise<boolean> {
    const { database, now } = this.#deps;
    const { free, accounts: underWay } = this.#lanes;
    if (free <= 0) return false;
    const moment = now();
    const leaseEnd = new Date(moment.getTime() + leaseMs);
    const turns = { most: free, mostEach: lanesOfAccount, underWay };
    for (const notice of await claimLogoutNotices(database.lookups, moment, leaseEnd, turns))
      this.#start(notice);
    return false;
  }

  #start(notice: LogoutNotice): void {
    this.#lanes.start(notice.account_id, () =>
      // One that fails for reasons of ours is due again when its lease ends.
      deliver(this.#deps, notice).catch((error: unknown) =>
        this.#deps.log.warn(
          { err: error, issuer_id: notice.issuer_id },
          'A client could not be told of a logout',
        ),
      ),
    );
  }
}

async function deliver(deps: Dependencies, notice: LogoutNotice): Promise<void> {
  const { database, keys, clients, now } = deps;
  const issuer = await keys.findIssuer(notice.issuer_id);
  const client = await clients.find(notice.issuer_id, notice.client_id, notice.account_id);
  const uri = client?.settings.openid.backchannel_logout_uri ?? null;
  const failure =
    issuer === null || client === null || client.status !== 'active' || uri === null
      ? null
      : await tell(deps, { issuerId: issuer.id, uri, notice });
  await database.withAccount(notice.account_id, async (tx) => {
    const pause = pauses[notice.attempts - 1];
    if (failure !== null && pause !== undefined) {
      await postponeLogoutNotice(tx, notice, new Date(now().getTime() + pause * 1000));
      return;
    }
    await deleteLogoutNotice(tx, notice);
    if (failure === null) return;
    const actor = { type: 'system', id: 'back-channel-logout', ip: null, user_agent: null } as const;
    await insertEvents(tx, { accountId: notice.account_id, actor, requestId: null }, [
      {
        type: 'logout.failed',
        subject: { type: 'session', id: notice.session_id },
        environment: issuer?.environment ?? 'live',
        issuerId: notice.issuer_id,
        data: { client_id: notice.client_id, reason: failure },
      },
    ]);
  });
}

/** Answers why the client could not be told; null where it was. */
async function tell(
  { settings, signingKeys, outbound, now }: Dependencies,
  { issuerId, uri, notice }: { issuerId: string; uri: string; notice: LogoutNotice },
): Promise<string | null> {
  const iat = Math.floor(now().getTime() / 1000);
  const claims = {
    iss: issuerUrl(settings, issuerId),
    sub: notice.user_id,
    aud: notice.client_id,
    iat,
    exp: iat + tokenSeconds,
    jti: randomUUID(),
    sid: notice.session_id,
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
  };
  const token = await signingKeys.sign({ id: issuerId }, claims, logoutTokenType);
  try {
    const { status } = await outbound.fetch(uri, {
      accountId: notice.account_id,
      method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ logout_token: token }).toString(),
      timeoutMs,
      truncate: true,
    });
    return status === 200 || status === 204 ? null : `status_${status}`;
  } catch (error) {
    if (error instanceof OutboundError) return error.reason;
    throw error;
  }
}
