import { LRUCache } from 'lru-cache';
import { AppError } from '../errors.ts';
import type { Actor, NewEvent } from '../events/event.ts';
import { insertEvent } from '../events/event-store.ts';
import { ensureSandboxTwin } from '../issuers/sandbox-twin.ts';
import type { AccountSlots } from '../limits/account-slots.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import type { IssuerRecord } from '../verification/records.ts';

const remembered = 10_000;

interface Dependencies {
  database: Database;
  accountSlots: AccountSlots;
  keys: KeyDirectory;
  secrets: InstallationSecrets;
  now: () => Date;
}

/** The sandbox twins of live issuers, which sandbox keys have users sign in at. */
export class SandboxTwins {
  readonly #deps: Dependencies;
  /** By the live issuer; whether there still is such an issuer is asked each time. */
  readonly #twins = new LRUCache<string, string>({ max: remembered });

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** null where the live issuer has none yet. */
  async find(live: IssuerRecord): Promise<IssuerRecord | null> {
    const held = await this.#held(live);
    if (held !== null) return held;
    const { accountSlots, database } = this.#deps;
    const id = await accountSlots.run(live.account.id, () =>
      database.withAccount(live.account.id, (tx) => selectTwin(tx, live)),
    );
    if (id === null) return null;
    this.#twins.set(live.id, id);
    return this.#deps.keys.findIssuer(id, 'row');
  }

  /**
   * The twin, made if need be, in the caller's transaction: after the commit call `remember`.
   *
   * @param author of the event that tells of it
   * @throws not_found where the live issuer has been deleted
   */
  async ensure(
    tx: Transaction,
    live: IssuerRecord,
    author: { actor: Actor; requestId: string },
  ): Promise<Pick<IssuerRecord, 'id' | 'account' | 'environment'>> {
    const { secrets, now } = this.#deps;
    const row = await lockLive(tx, live);
    const record = (event: NewEvent) => insertEvent(tx, { accountId: live.account.id, ...author }, event);
    const { id } = await ensureSandboxTwin(tx, secrets, row, { now: now(), record });
    return { id, account: live.account, environment: 'sandbox' };
  }

  /** The next request finds the twin without a look-up. */
  remember(liveId: string, twinId: string): void {
    this.#twins.set(liveId, twinId);
  }

  async #held(live: IssuerRecord): Promise<IssuerRecord | null> {
    const id = this.#twins.get(live.id);
    if (id === undefined) return null;
    const twin = await this.#deps.keys.findIssuer(id, 'row');
    if (twin === null) this.#twins.delete(live.id);
    return twin;
  }
}

async function selectTwin(tx: Transaction, live: IssuerRecord): Promise<string | null> {
  const row = await tx
    .selectFrom('issuers')
    .select('id')
    .where('account_id', '=', live.account.id)
    .where('twin_of', '=', live.id)
    .executeTakeFirst();
  return row?.id ?? null;
}

/** Locked, so that two sandbox keys at once make one twin. */
async function lockLive(tx: Transaction, live: IssuerRecord) {
  const row = await tx
    .selectFrom('issuers')
    .selectAll()
    .where('account_id', '=', live.account.id)
    .where('id', '=', live.id)
    .where('deleting', '=', false)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  return { ...row, sandbox_issuer_id: null };
}
