import type pg from 'pg';
import { mintKeySecret } from '../../src/api-keys/key-secret.ts';
import { presets } from '../../src/key-profiles/presets.ts';
import type { InstallationSecrets } from '../../src/secrets/installation-secrets.ts';
import type { Freshness, FreshnessMode } from '../../src/verification/freshness.ts';
import type { ImportedKeys } from '../../src/verification/imported-keys.ts';
import { KeyDirectory } from '../../src/verification/key-directory.ts';
import type { IssuerRow, KeyRow, OrganizationRow } from '../../src/verification/lookup-rows.ts';
import { RecordCache, type RecordChange } from '../../src/verification/record-cache.ts';
import type { IssuerRecord, KeyRecord, OrganizationRecord } from '../../src/verification/records.ts';

/** What the model's database holds. A version moves with every change, and a deletion is a change. */
export const objects = ['account', 'issuer', 'organization', 'key0', 'key1', 'key2', 'key3'] as const;
export type ObjectName = (typeof objects)[number];
export type Versions = Record<ObjectName, number>;

const parentsOf: Record<string, readonly ObjectName[]> = {
  account: [],
  issuer: ['account'],
  organization: ['issuer', 'account'],
  key0: ['account'],
  key1: ['issuer', 'account'],
  key2: ['organization', 'issuer', 'account'],
  key3: ['organization', 'issuer', 'account'],
};
const keyNames = ['key0', 'key1', 'key2', 'key3'] as const;
type KeyName = (typeof keyNames)[number];

/** What a request may ask a node for. */
export const targets = [...keyNames, 'issuer', 'organization'] as const;
export type Target = (typeof targets)[number];

/** Whether an answer about the target tells of `object`: it is the target itself or something that it belongs to. */
export function tellsOf(target: Target, object: ObjectName): boolean {
  return object === target || parentsOf[target]!.includes(object);
}

type Row = KeyRow | IssuerRow | OrganizationRow;

interface Read {
  target: Target;
  /** The rows as they were when Postgres ran the query; undefined until it has. */
  rows: Row[] | undefined;
  resolve(rows: Row[]): void;
  reject(error: Error): void;
}

const digestSecret = 'ab'.repeat(32);
const checkSecret = Buffer.alloc(32, 7);

/**
 * A database and the way to it, both under the test's hand: it says when Postgres runs a read, when its answer comes,
 * when a notice arrives, and when any of that is lost. The cache and the directory before it are the real ones.
 */
export class World {
  readonly current = versions(0);
  /** What notices (or a flush) have told this node of: it must never answer with anything older while fresh. */
  readonly announced = versions(0);
  readonly cache = new RecordCache(100);
  readonly directory: KeyDirectory;
  readonly reads: Read[] = [];
  isListening = true;
  isFresh = true;
  isUp = true;
  readonly #deleted = new Set<ObjectName>();
  readonly #notices: { object: ObjectName; version: number }[] = [];
  readonly #minted = keyNames.map(() =>
    mintKeySecret({
      prefix: 'gl_live_sk_',
      digest: { generation: 1, key: digestSecret },
      check: { generation: 1, key: checkSecret },
    }),
  );

  constructor() {
    const freshness = {
      isFresh: () => this.isFresh,
      state: async () => this.mode,
    };
    this.directory = new KeyDirectory({
      pool: { query: (query: pg.QueryConfig) => this.#query(query) } as unknown as pg.Pool,
      cache: this.cache,
      freshness: freshness as Freshness,
      secrets: {
        hexKey: () => digestSecret,
        key: () => checkSecret,
      } as unknown as InstallationSecrets,
      imported: {} as ImportedKeys,
    });
  }

  get mode(): FreshnessMode {
    if (this.isFresh) return 'fresh';
    return this.isUp ? 'read-through' : 'stale';
  }

  /** A request for it, as the endpoints make one. */
  find(target: Target) {
    if (target === 'issuer') return this.directory.findIssuer('issuer');
    if (target === 'organization') return this.directory.findTenant('issuer', 'organization');
    return this.directory.find(this.#minted[keyNames.indexOf(target)]!.secret);
  }

  exists(object: ObjectName): boolean {
    return ![object, ...parentsOf[object]!].some((name) => this.#deleted.has(name));
  }

  /** Another node commits a change. */
  commit(object: ObjectName, isDeletion: boolean): void {
    if (!this.isUp || !this.exists(object)) return;
    this.current[object]++;
    if (isDeletion) this.#deleted.add(object);
    if (this.isListening) this.#notices.push({ object, version: this.current[object] });
  }

  /** The oldest notice under way arrives. */
  deliverNotice(): void {
    const notice = this.#notices.shift();
    if (notice === undefined) return;
    this.cache.forget(this.#changeOf(notice.object));
    this.announced[notice.object] = notice.version;
  }

  /** The connection for changes breaks. What was under way is lost, and memory is trusted for some time yet. */
  cutFeed(): void {
    this.isListening = false;
    this.#notices.length = 0;
  }

  /** Pings have stayed away for too long: trust runs out, whether or not the connection looks alive. */
  loseTrust(): void {
    if (!this.isListening || this.#notices.length > 0) this.isFresh = false;
  }

  /** A new connection listens; memory is flushed before anything is trusted again. */
  reconnectFeed(): void {
    if (!this.isUp) return;
    this.cutFeed();
    this.isListening = true;
    this.cache.flush();
    Object.assign(this.announced, this.current);
    this.isFresh = true;
  }

  /** Postgres goes away: every read under way fails, and so does every new one. */
  stopPostgres(): void {
    this.isUp = false;
    this.cutFeed();
    for (const read of this.reads.splice(0)) read.reject(connectionError());
  }

  startPostgres(): void {
    this.isUp = true;
  }

  /** Postgres runs a read; its answer is then on its way. */
  runRead(index: number): void {
    const read = this.#pick(index, (candidate) => candidate.rows === undefined);
    if (read !== undefined) read.rows = this.#rowsOf(read.target);
  }

  /** The answer of a read arrives. */
  deliverRead(index: number): void {
    const read = this.#pick(index, (candidate) => candidate.rows !== undefined);
    if (read === undefined) return;
    this.reads.splice(this.reads.indexOf(read), 1);
    read.resolve(read.rows!);
  }

  #pick(index: number, isEligible: (read: Read) => boolean): Read | undefined {
    const eligible = this.reads.filter(isEligible);
    return eligible[index % Math.max(1, eligible.length)];
  }

  #query(query: pg.QueryConfig): Promise<{ rows: Row[] }> {
    if (!this.isUp) return Promise.reject(connectionError());
    return new Promise((resolve, reject) => {
      const target = this.#targetOf(query);
      this.reads.push({ target, rows: undefined, resolve: (rows) => resolve({ rows }), reject });
    });
  }

  #targetOf(query: pg.QueryConfig): Target {
    if (query.name === 'lookup_issuer_v2') return 'issuer';
    if (query.name === 'lookup_organization_v2') return 'organization';
    const [digest] = query.values as [Buffer];
    return keyNames[this.#minted.findIndex((minted) => minted.digest === digest.toString('hex'))]!;
  }

  #changeOf(object: ObjectName): RecordChange {
    if (object === 'account' || object === 'issuer' || object === 'organization')
      return { kind: object, id: object };
    return { kind: 'api-key', digest: this.#minted[keyNames.indexOf(object)]!.digest };
  }

  /** What the look-up of it gives, each object's version in one of its texts. */
  #rowsOf(target: Target): Row[] {
    if (!this.exists(target)) return [];
    if (target === 'issuer') {
      const row = { id: 'issuer', status: 'active', environment: 'live', profile: presets.standard } as const;
      return [
        {
          ...row,
          ...this.#accountColumns(),
          publishable_scopes: [String(this.current.issuer)],
          plan: null,
          limits: null,
        },
      ];
    }
    if (target === 'organization') {
      const row = {
        id: 'organization',
        account_id: 'account',
        issuer_id: 'issuer',
        external_id: null,
        status: 'active',
      } as const;
      return [{ ...row, plan: null, limits: null, name: String(this.current.organization) }];
    }
    return [this.#keyRow(target)];
  }

  #accountColumns() {
    return {
      account_id: 'account',
      account_status: 'active',
      account_is_operator: false,
      account_plan: String(this.current.account),
      account_limits: null,
    } as const;
  }

  #keyRow(key: KeyName): KeyRow {
    const hasIssuer = tellsOf(key, 'issuer');
    const hasOrganization = tellsOf(key, 'organization');
    return {
      ...this.#accountColumns(),
      id: key,
      name: String(this.current[key]),
      kind: 'secret',
      environment: 'live',
      status: 'active',
      scopes: [],
      origins: [],
      browsers: 'allow',
      require_origin: false,
      ips: [],
      metadata: {},
      lineage_id: key,
      rotated_at: null,
      is_imported: false,
      limits: [],
      quota: null,
      expires_at: null,
      issuer_id: hasIssuer ? 'issuer' : null,
      issuer_status: hasIssuer ? 'active' : null,
      issuer_environment: hasIssuer ? 'live' : null,
      issuer_publishable_scopes: hasIssuer ? [String(this.current.issuer)] : null,
      profile: hasIssuer ? presets.standard : null,
      issuer_plan: null,
      issuer_limits: null,
      organization_id: hasOrganization ? 'organization' : null,
      organization_name: hasOrganization ? String(this.current.organization) : null,
      organization_external_id: null,
      organization_status: hasOrganization ? 'active' : null,
      organization_plan: null,
      organization_limits: null,
    };
  }
}

export function versions(value: number): Versions {
  return Object.fromEntries(objects.map((name) => [name, value])) as Versions;
}

/** The versions that an answer was made of. */
export function versionsOf(
  target: Target,
  record: KeyRecord | IssuerRecord | OrganizationRecord,
): Partial<Versions> {
  if (target === 'organization') return { organization: Number((record as OrganizationRecord).name) };
  if (target === 'issuer') return issuerVersions(record as IssuerRecord);
  const { name, account, issuer, organization } = record as KeyRecord;
  return {
    [target]: Number(name),
    account: Number(account.plan),
    ...(issuer && issuerVersions(issuer)),
    ...(organization && { organization: Number(organization.name) }),
  };
}

function issuerVersions(record: IssuerRecord): Partial<Versions> {
  return { issuer: Number(record.publishableScopes[0]), account: Number(record.account.plan) };
}

function connectionError(): Error {
  return Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
}
