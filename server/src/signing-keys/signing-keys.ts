import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import type { CachedDocument } from '../edge/cached-document.ts';
import { AppError } from '../errors.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';
import { callLookup } from '../postgres/lookup.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { Settings } from '../settings.ts';
import type { AccessClaims } from '../tokens/access-claims.ts';
import {
  accessTokenType,
  headerSegment,
  type logoutTokenType,
  signJwt,
  verifyAccessToken,
} from '../tokens/jwt.ts';
import { IssuerLanes, laneOf, type NamedBy } from '../verification/issuer-lanes.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import type { RecordCache } from '../verification/record-cache.ts';
import type { IssuerRecord } from '../verification/records.ts';
import { ensureSigningKey } from './ensure-signing-key.ts';
import { KeyMaterial } from './key-material.ts';
import { type IssuerKey, KeySet } from './key-set.ts';
import { openSealedKey } from './sealed-key.ts';
import type { SigningAlgorithm } from './signing-key.ts';

/** About 10 KiB of memory for each key that has signed and verified, 2 for one that is only published. */
const heldIssuers = 4096;

/** A key that does not open is tried again after so long: this node may learn of a secret late. */
const retryMs = 10_000;

/** A row of `lookup_signing_keys`. */
interface LookupRow extends pg.QueryResultRow {
  id: string;
  algorithm: SigningAlgorithm;
  sealed: Buffer;
  secret_generation: number;
  activates_at: Date;
  expires_at: Date | null;
}

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  keys: KeyDirectory;
  cache: RecordCache;
  secrets: InstallationSecrets;
  /** For the look-ups of keys. */
  pool: pg.Pool;
  /** To make the first key of an issuer that has none. */
  database: Database;
  log: Log;
  nowMs: () => number;
}

export type TokenVerdict = { ok: true; claims: AccessClaims } | { ok: false };

/**
 * What issuers sign with, and what their tokens are verified by.
 *
 * Keys are held beside the issuer's record and as long as it: a rotation makes every node forget the record, so they are
 * as fresh as any other thing that the issuer decides (see `KeyDirectory`), also while Postgres is away. Bounded; an
 * issuer that nobody has asked about for long costs one look-up when somebody does.
 */
export class SigningKeys {
  readonly #deps: Dependencies;
  readonly #held: LRUCache<string, HeldSet>;
  readonly #inFlight = new Map<string, { issuer: IssuerRecord; promise: Promise<KeySet | null> }>();
  readonly #lanes = new IssuerLanes();

  /** @param max of how many issuers the keys are held */
  constructor(deps: Dependencies, max = heldIssuers) {
    this.#deps = deps;
    this.#held = new LRUCache({ max });
  }

  /** Of how many issuers the keys are held. */
  get size(): number {
    return this.#held.size;
  }

  /**
   * A JWT with these claims, signed by the issuer's key of this moment. `iss` is the caller's to give: `issuerUrl`.
   *
   * @throws not_found where the issuer is gone; unavailable (503)
   */
  async sign(
    issuer: Pick<IssuerRecord, 'id'>,
    claims: object,
    typ: typeof accessTokenType | typeof logoutTokenType,
  ): Promise<string> {
    const found = this.#keysOf(issuer.id, 'row');
    const set = found instanceof Promise ? await found : found;
    if (set === null) throw new AppError('not_found');
    const key = set.signer(this.#deps.nowMs());
    if (key === undefined) throw new Error(`no signing key of issuer ${issuer.id} opens`);
    const header =
      typ === accessTokenType ? key.header : headerSegment({ alg: key.algorithm, kid: key.id, typ });
    return signJwt(claims, header, (data) => key.sign(data));
  }

  /**
   * The keys of an issuer, for who makes tokens in a form of its own; at once where they are held. null where there is no
   * such issuer.
   *
   * @throws unavailable (503)
   */
  keySet(issuerId: string): KeySet | null | Promise<KeySet | null> {
    return this.#keysOf(issuerId, 'row');
  }

  /** The public keys of an issuer as a JSON Web Key Set; null where there is no such issuer. @throws unavailable */
  async jwks(issuerId: string, namedBy: NamedBy = 'stranger'): Promise<string | null> {
    return (await this.jwksDocument(issuerId, namedBy))?.text ?? null;
  }

  /** As `jwks`, with its tag; at once where it is held. */
  jwksDocument(
    issuerId: string,
    namedBy: NamedBy = 'stranger',
  ): CachedDocument | null | Promise<CachedDocument | null> {
    const found = this.#keysOf(issuerId, namedBy);
    if (found instanceof Promise) return found.then((set) => set?.document(this.#deps.nowMs()) ?? null);
    return found?.document(this.#deps.nowMs()) ?? null;
  }

  /**
   * Whether this is an access token of this issuer that holds at this moment, and what it says. Who the token is for is
   * the caller's to look at (`client_id`, `aud`), or to name; so is whether issuer, user and session are still active.
   *
   * @throws unavailable (503)
   */
  async verify(
    issuerId: string,
    token: string,
    nowMs: number,
    demands: { audience?: string; namedBy?: NamedBy } = {},
  ): Promise<TokenVerdict> {
    const found = this.#keysOf(issuerId, demands.namedBy ?? 'stranger');
    const set = found instanceof Promise ? await found : found;
    if (set === null) return { ok: false };
    const claims = await verifyAccessToken(token, (header) => set.keyOfHeader(header, nowMs), {
      issuer: issuerUrl(this.#deps.settings, issuerId),
      nowMs,
      audience: demands.audience,
    });
    return claims === null ? { ok: false } : { ok: true, claims };
  }

  #keysOf(issuerId: string, namedBy: NamedBy): KeySet | null | Promise<KeySet | null> {
    const found = this.#deps.keys.findIssuer(issuerId, namedBy);
    if (found instanceof Promise) return found.then((issuer) => this.#keysOfRecord(issuer, namedBy));
    return this.#keysOfRecord(found, namedBy);
  }

  #keysOfRecord(issuer: IssuerRecord | null, namedBy: NamedBy): KeySet | null | Promise<KeySet | null> {
    if (issuer === null || issuer.account.status === 'deleting') return null;
    const held = this.#held.get(issuer.id);
    if (held !== undefined && held.set.issuer === issuer && this.#deps.nowMs() < held.untilMs)
      return held.set;
    return this.#loadOnce(issuer, namedBy);
  }

  /** One load for all who ask about the same record at the same time; those with a credential wait for no stranger's. */
  #loadOnce(issuer: IssuerRecord, namedBy: NamedBy): Promise<KeySet | null> {
    const name = `${issuer.id} ${laneOf(namedBy)}`;
    const running = this.#inFlight.get(name);
    if (running?.issuer === issuer) return running.promise;
    const load = () => this.#load(issuer);
    const promise = this.#lanes.run(namedBy, load).finally(() => {
      if (this.#inFlight.get(name)?.promise === promise) this.#inFlight.delete(name);
    });
    this.#inFlight.set(name, { issuer, promise });
    return promise;
  }

  async #load(issuer: IssuerRecord): Promise<KeySet | null> {
    const { database, secrets, nowMs } = this.#deps;
    let rows = await this.#select(issuer);
    if (rows.length === 0) {
      const owner = { accountId: issuer.account.id, issuerId: issuer.id };
      if (!(await ensureSigningKey(database, secrets, owner, new Date(nowMs())))) return null;
      rows = await this.#select(issuer);
    }
    const former = this.#held.peek(issuer.id)?.set;
    const newestFirst = rows
      .map((row) => this.#open(issuer, row, former))
      .filter((key): key is IssuerKey => key !== null);
    const set = new KeySet(issuer, newestFirst);
    const isWhole = newestFirst.length === rows.length;
    this.#keep(set, isWhole ? Number.POSITIVE_INFINITY : nowMs() + retryMs);
    return set;
  }

  /**
   * Only beside a record that memory holds: of any other no change would be told. What such a read has shown to be out of
   * date goes, and the rest stays for when Postgres is away.
   */
  #keep(set: KeySet, untilMs: number): void {
    const { id } = set.issuer;
    if (this.#deps.cache.issuer(id) === set.issuer) this.#held.set(id, { set, untilMs });
    else if (this.#held.peek(id)?.set.equals(set) === false) this.#held.delete(id);
  }

  #select(issuer: IssuerRecord): Promise<LookupRow[]> {
    return callLookup<LookupRow>(this.#deps.pool, 'lookup_signing_keys', [issuer.account.id, issuer.id]);
  }

  /** One that does not open is left out, so that the others serve. */
  #open(issuer: IssuerRecord, row: LookupRow, former: KeySet | undefined): IssuerKey | null {
    const times = { activatesAt: row.activates_at, expiresAt: row.expires_at };
    const held = former?.material(row.id);
    if (held !== undefined) return { material: held, ...times };
    const { secrets, log } = this.#deps;
    const sealed = { sealed: row.sealed, secretGeneration: row.secret_generation };
    const place = { issuerId: issuer.id, id: row.id, algorithm: row.algorithm };
    try {
      return { material: new KeyMaterial(place, () => openSealedKey(secrets, sealed, place)), ...times };
    } catch (error) {
      log.error({ err: error, issuer_id: issuer.id, signing_key_id: row.id }, 'A signing key does not open');
      return null;
    }
  }
}

interface HeldSet {
  readonly set: KeySet;
  readonly untilMs: number;
}
