import { isDeepStrictEqual } from 'node:util';
import { LRUCache } from 'lru-cache';
import { accountPlanName, ownPlanName, PlanUsers, planNameOf } from './plan-users.ts';
import { RecentChanges } from './recent-changes.ts';
import { weightOfIssuer, weightOfKey } from './record-weight.ts';
import type { AccountRecord, IssuerRecord, KeyRecord, OrganizationRecord } from './records.ts';
import { TwoGenerationMap } from './two-generation-map.ts';

/** A change of something a node may hold in memory, as the database's triggers announce it. */
export type RecordChange =
  | { kind: 'api-key'; digest: string }
  /** Clients are held elsewhere (`ClientDirectory`), which asks here whether they have changed. */
  | { kind: 'organization' | 'issuer' | 'account' | 'client'; id: string }
  /** `is_operator`: it is one that accounts may be on. */
  | { kind: 'plan'; account_id: string; name: string; is_operator: boolean };

/** A read lasts 700 ms at the most, and no node commits as many changes in that time. */
const rememberedChanges = 10_000;

/** What a key may take on average; a node holds fewer keys where they take more. */
const bytesPerKey = 1024;

/** A key as it is held, with what it takes of the memory there is for keys. */
type HeldKey = KeyRecord & { readonly weight: number };

type Shared = AccountRecord | IssuerRecord | OrganizationRecord;

/**
 * Key records by digest, and the accounts, issuers and organizations that they share.
 *
 * A shared record that has changed is marked stale and dropped; a key that still points at it counts as not held, so
 * one suspension reaches a million keys without touching them.
 *
 * The epoch guards fills: a fill notes it before its read and keeps nothing if the key it read, or anything above it,
 * has changed since, because what it read may be from before the change. What changes elsewhere is no reason: one
 * customer's writes must not keep another's keys out of memory.
 *
 * Bounded by number and by weight: the least recently used records go, and a shared record that goes is marked stale too, since no later
 * change could find it.
 */
export class RecordCache {
  readonly #changes = new RecentChanges(rememberedChanges);
  readonly #planUsers = new PlanUsers();
  readonly #keys: TwoGenerationMap<HeldKey>;
  readonly #accounts: LRUCache<string, AccountRecord>;
  readonly #issuers: LRUCache<string, IssuerRecord>;
  readonly #organizations: LRUCache<string, OrganizationRecord>;
  /** Tenants by issuer and the name that a request used for them: `issuerId organizationId-or-externalId`. */
  readonly #tenants: LRUCache<string, OrganizationRecord>;

  /** @param maxKeys how many keys there are at the most, of 1 KiB each on average */
  constructor(maxKeys: number) {
    const maxBytes = maxKeys * bytesPerKey;
    this.#keys = new TwoGenerationMap(maxKeys, { max: maxBytes, of: ({ weight }) => weight });
    this.#accounts = sharedCache(maxKeys, this.#planUsers);
    const maxIssuerBytes = Math.ceil(maxBytes / 4);
    this.#issuers = sharedCache(maxKeys, this.#planUsers, {
      maxSize: maxIssuerBytes,
      // One too heavy to be held would be used on unheld, where no change would find it.
      sizeCalculation: (issuer) => Math.min(weightOfIssuer(issuer), maxIssuerBytes),
    });
    this.#organizations = sharedCache(maxKeys, this.#planUsers);
    this.#tenants = new LRUCache({ max: maxKeys });
  }

  /** Moves with every change and flush. */
  get epoch(): number {
    return this.#changes.epoch;
  }

  /**
   * Whether what a read that began at `epoch` found may be from before a change.
   *
   * @param names every id that the read's answer tells of, and the digest of a key
   */
  hasChangedSince(epoch: number, names: readonly (string | undefined)[]): boolean {
    return this.#changes.hasChangedSince(epoch, names);
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

  /** Keeps a key that was read at `epoch`, unless it or what is above it has changed since. Answers the record to use. */
  keepKey(digest: string, read: KeyRecord, epoch: number): KeyRecord {
    if (this.hasChangedSince(epoch, namesOfKey(digest, read))) return read;
    const account = this.#share(this.#accounts, read.account);
    const heldIssuer = read.issuer && this.#issuers.peek(read.issuer.id);
    const issuer = read.issuer && this.#shareIssuer(read.issuer, account);
    // Who brings an issuer along pays for it too: a key holds on to an issuer that has had to go.
    const weight = weightOfKey(read) + (issuer && issuer !== heldIssuer ? weightOfIssuer(issuer) : 0);
    const organization = read.organization && this.#share(this.#organizations, read.organization);
    const record: HeldKey = { ...read, account, issuer, organization, weight };
    this.#keys.set(digest, record);
    return record;
  }

  keepIssuer(read: IssuerRecord, epoch: number): IssuerRecord {
    if (this.hasChangedSince(epoch, namesOfIssuer(read))) return read;
    return this.#shareIssuer(read, this.#share(this.#accounts, read.account));
  }

  keepTenant(issuerId: string, name: string, read: OrganizationRecord, epoch: number): OrganizationRecord {
    if (this.hasChangedSince(epoch, namesOfTenant(read))) return read;
    const record = this.#share(this.#organizations, read);
    this.#tenants.set(`${issuerId} ${name}`, record);
    return record;
  }

  /**
   * Something was created of which a read under way may not know yet: that it has found nothing is no answer any more to
   * whoever comes from now on.
   */
  noteCreation(id: string): void {
    this.#changes.note(id);
  }

  /** Forgets what has changed; from here on no fill of it that began earlier is kept. */
  forget(change: RecordChange): void {
    if (change.kind === 'plan') {
      this.#forgetPlan(ownPlanName(change.account_id, change.name));
      if (change.is_operator) this.#forgetPlan(accountPlanName(change.name));
      return;
    }
    this.#changes.note(change.kind === 'api-key' ? change.digest : change.id);
    if (change.kind === 'api-key') this.#keys.delete(change.digest);
    else if (change.kind === 'organization') this.#organizations.delete(change.id);
    else if (change.kind === 'issuer') this.#issuers.delete(change.id);
    else if (change.kind === 'account') this.#accounts.delete(change.id);
  }

  /** Whoever is on the plan is read anew. */
  #forgetPlan(planName: string): void {
    this.#changes.note(planName);
    for (const user of this.#planUsers.of(planName)) {
      if ('issuerId' in user) this.#organizations.delete(user.id);
      else if ('account' in user) this.#issuers.delete(user.id);
      else this.#accounts.delete(user.id);
    }
  }

  /**
   * Drops what a read from Postgres has shown to be out of date, though no notice of the change has come. What still
   * agrees stays, so that it can serve on should Postgres go away. The read itself is not kept: a change that follows
   * it might pass unnoticed.
   */
  supersedeKey(digest: string, read: KeyRecord | null): void {
    const held = this.#keys.peek(digest);
    if (held !== undefined && !isDeepStrictEqual(asRead(held), read))
      this.forget({ kind: 'api-key', digest });
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
    // Asked for by its id and gone: keys of it may be held though nobody has called it by that name before.
    else if (this.#organizations.peek(name) !== undefined) this.forget({ kind: 'organization', id: name });
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
    this.#changes.noteAll();
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
    this.#planUsers.add(record);
    return record;
  }

  #share<T extends Shared>(cache: LRUCache<string, T>, read: T): T {
    const held = cache.get(read.id);
    if (held !== undefined) return held;
    cache.set(read.id, read);
    this.#planUsers.add(read);
    return read;
  }
}

/** What a key's record tells of, and the plans whose limits it knows. None of it ever moves under another parent, so this is also what the row told of. */
export function namesOfKey(digest: string, { account, issuer, organization }: KeyRecord) {
  return [
    digest,
    account.id,
    issuer?.id,
    organization?.id,
    planNameOf(account),
    issuer === null ? undefined : planNameOf(issuer),
    organization === null ? undefined : planNameOf(organization),
  ];
}

export function namesOfIssuer(issuer: IssuerRecord) {
  return [issuer.id, issuer.account.id, planNameOf(issuer), planNameOf(issuer.account)];
}

/** A name leads from one organization to another only by a change of the first. */
export function namesOfTenant(organization: OrganizationRecord) {
  return [organization.id, organization.issuerId, planNameOf(organization)];
}

function asRead({ weight: _weight, ...record }: HeldKey): KeyRecord {
  return record;
}

/** Whatever leaves it (deleted, evicted, replaced, cleared) is stale from then on. */
function sharedCache<T extends Shared>(
  max: number,
  planUsers: PlanUsers,
  bySize: { maxSize?: number; sizeCalculation?: (record: T) => number } = {},
): LRUCache<string, T> {
  return new LRUCache<string, T>({
    max,
    ...bySize,
    dispose: (record) => {
      record.isStale = true;
      planUsers.remove(record);
    },
  });
}
