import { isDeepStrictEqual } from 'node:util';
import { LRUCache } from 'lru-cache';
import type { AccountRecord, IssuerRecord, KeyRecord, OrganizationRecord } from './records.ts';
import { TwoGenerationMap } from './two-generation-map.ts';

/** A change of something a node may hold in memory, as the database's triggers announce it. */
export type RecordChange =
  | { kind: 'api-key'; digest: string }
  | { kind: 'organization' | 'issuer' | 'account'; id: string };

type Shared = AccountRecord | IssuerRecord | OrganizationRecord;

/**
 * Key records by digest, and the accounts, issuers and organizations that they share.
 *
 * A shared record that has changed is marked stale and dropped; a key that still points at it counts as not held, so
 * one suspension reaches a million keys without touching them.
 *
 * The epoch guards fills: a fill notes it before its read and keeps nothing if it has moved since, because what it
 * read may be from before the change. Bounded: the least recently used records go, and a shared record that goes is
 * marked stale too, since no later change could find it.
 */
export class RecordCache {
  #epoch = 0;
  readonly #keys: TwoGenerationMap<KeyRecord>;
  readonly #accounts: LRUCache<string, AccountRecord>;
  readonly #issuers: LRUCache<string, IssuerRecord>;
  readonly #organizations: LRUCache<string, OrganizationRecord>;
  /** Tenants by issuer and the name that a request used for them: `issuerId organizationId-or-externalId`. */
  readonly #tenants: LRUCache<string, OrganizationRecord>;

  constructor(maxKeys: number) {
    this.#keys = new TwoGenerationMap(maxKeys);
    this.#accounts = sharedCache(maxKeys);
    this.#issuers = sharedCache(maxKeys);
    this.#organizations = sharedCache(maxKeys);
    this.#tenants = new LRUCache({ max: maxKeys });
  }

  /** Moves with every change and flush. */
  get epoch(): number {
    return this.#epoch;
  }

  get size(): number {
    return this.#keys.size;
  }

  key(digest: string): KeyRecord | undefined {
    const record = this.#keys.get(digest);
    if (record === undefined) return undefined;
    if (record.account.isStale || record.issuer?.isStale === true || record.organization?.isStale === true) {
      return undefined;
    }
    return record;
  }

  issuer(id: string): IssuerRecord | undefined {
    const record = this.#issuers.get(id);
    return record === undefined || record.account.isStale ? undefined : record;
  }

  tenant(issuerId: string, name: string): OrganizationRecord | undefined {
    const record = this.#tenants.get(`${issuerId} ${name}`);
    return record === undefined || record.isStale ? undefined : record;
  }

  /** Keeps a key that was read at `epoch`, unless something has changed since. Answers the record to use. */
  keepKey(digest: string, read: KeyRecord, epoch: number): KeyRecord {
    if (epoch !== this.#epoch) return read;
    const account = this.#share(this.#accounts, read.account);
    const issuer = read.issuer && this.#shareIssuer(read.issuer, account);
    const organization = read.organization && this.#share(this.#organizations, read.organization);
    const record: KeyRecord = { ...read, account, issuer, organization };
    this.#keys.set(digest, record);
    return record;
  }

  keepIssuer(read: IssuerRecord, epoch: number): IssuerRecord {
    if (epoch !== this.#epoch) return read;
    return this.#shareIssuer(read, this.#share(this.#accounts, read.account));
  }

  keepTenant(issuerId: string, name: string, read: OrganizationRecord, epoch: number): OrganizationRecord {
    if (epoch !== this.#epoch) return read;
    const record = this.#share(this.#organizations, read);
    this.#tenants.set(`${issuerId} ${name}`, record);
    return record;
  }

  /** Forgets what has changed; from here on no fill that began earlier is kept. */
  forget(change: RecordChange): void {
    this.#epoch++;
    if (change.kind === 'api-key') this.#keys.delete(change.digest);
    else if (change.kind === 'organization') this.#organizations.delete(change.id);
    else if (change.kind === 'issuer') this.#issuers.delete(change.id);
    else this.#accounts.delete(change.id);
  }

  /**
   * Drops what a read from Postgres has shown to be out of date, though no notice of the change has come. What still
   * agrees stays, so that it can serve on should Postgres go away. The read itself is not kept: a change that follows
   * it might pass unnoticed.
   */
  supersedeKey(digest: string, read: KeyRecord | null): void {
    const held = this.#keys.peek(digest);
    if (held !== undefined && !isDeepStrictEqual(held, read)) this.forget({ kind: 'api-key', digest });
    if (read === null) return;
    if (read.issuer !== null) this.supersedeIssuer(read.issuer.id, read.issuer);
    else this.#supersedeAccount(read.account);
    if (read.organization !== null) this.#supersedeOrganization(read.organization);
  }

  supersedeIssuer(id: string, read: IssuerRecord | null): void {
    const held = this.#issuers.peek(id);
    if (held !== undefined && !isDeepStrictEqual(held, read)) this.forget({ kind: 'issuer', id });
    if (read !== null) this.#supersedeAccount(read.account);
  }

  supersedeTenant(issuerId: string, name: string, read: OrganizationRecord | null): void {
    const held = this.#tenants.peek(`${issuerId} ${name}`);
    if (held !== undefined && !isDeepStrictEqual(held, read))
      this.forget({ kind: 'organization', id: held.id });
    if (read !== null) this.#supersedeOrganization(read);
  }

  #supersedeAccount(read: AccountRecord): void {
    const held = this.#accounts.peek(read.id);
    if (held !== undefined && !isDeepStrictEqual(held, read)) this.forget({ kind: 'account', id: read.id });
  }

  #supersedeOrganization(read: OrganizationRecord): void {
    const held = this.#organizations.peek(read.id);
    if (held !== undefined && !isDeepStrictEqual(held, read))
      this.forget({ kind: 'organization', id: read.id });
  }

  /** Forgets everything: the node can't know what it has missed. */
  flush(): void {
    this.#epoch++;
    this.#keys.clear();
    this.#accounts.clear();
    this.#issuers.clear();
    this.#organizations.clear();
    this.#tenants.clear();
  }

  #shareIssuer(read: IssuerRecord, account: AccountRecord): IssuerRecord {
    const held = this.#issuers.get(read.id);
    if (held !== undefined && held.account === account) return held;
    const record = { ...read, account };
    this.#issuers.set(read.id, record);
    return record;
  }

  #share<T extends Shared>(cache: LRUCache<string, T>, read: T): T {
    const held = cache.get(read.id);
    if (held !== undefined) return held;
    cache.set(read.id, read);
    return read;
  }
}

/** Whatever leaves it (deleted, evicted, replaced, cleared) is stale from then on. */
function sharedCache<T extends Shared>(max: number): LRUCache<string, T> {
  return new LRUCache<string, T>({
    max,
    dispose: (record) => {
      record.isStale = true;
    },
  });
}
