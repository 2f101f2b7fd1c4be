import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { ConcurrencyLimit } from '../limits/concurrency-limit.ts';
import { type LoginSettings, resolveLoginSettings } from '../login-settings/login-settings.ts';
import { callLookup } from '../postgres/lookup.ts';
import type { JsonObject } from '../postgres/schema.ts';
import type { IssuerRecord } from '../verification/records.ts';
import { type OidcSettings, resolveOidcSettings } from './oidc-settings.ts';

const heldIssuers = 10_000;

/** Of the look-ups' connections: anybody may ask about an issuer. */
const limitsOfStrangers = { concurrent: 2, waiting: 1_000, waitMs: 2_000 };

/** What decides how an issuer's runtime works. */
export interface RuntimeSettings {
  /** The issuer's name, which is no setting of a flow but stands on its pages. */
  name: string;
  login: LoginSettings;
  oidc: OidcSettings;
}

interface SettingsRow extends pg.QueryResultRow {
  name: string;
  login_settings: JsonObject | null;
  oidc_settings: JsonObject | null;
}

/**
 * The settings of issuers, held beside their records: a change of them makes every node forget the record, so they are as
 * fresh as it is.
 */
export class IssuerSettings {
  readonly #pool: pg.Pool;
  readonly #held = new LRUCache<string, { issuer: IssuerRecord; settings: RuntimeSettings }>({
    max: heldIssuers,
  });
  readonly #inFlight = new Map<IssuerRecord, Promise<RuntimeSettings | null>>();
  readonly #strangers = new ConcurrencyLimit(limitsOfStrangers);

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** At once where they are held; null where the issuer is gone. @throws unavailable (503) */
  of(issuer: IssuerRecord): RuntimeSettings | Promise<RuntimeSettings | null> {
    const held = this.#held.get(issuer.id);
    if (held?.issuer === issuer && !issuer.isStale) return held.settings;
    let loading = this.#inFlight.get(issuer);
    if (loading === undefined) {
      loading = this.#load(issuer).finally(() => this.#inFlight.delete(issuer));
      this.#inFlight.set(issuer, loading);
    }
    return loading;
  }

  async #load(issuer: IssuerRecord): Promise<RuntimeSettings | null> {
    const [row] = await this.#strangers.run(() =>
      callLookup<SettingsRow>(this.#pool, 'lookup_oidc_settings', [issuer.id]),
    );
    if (row === undefined) return null;
    const settings = {
      name: row.name,
      login: resolveLoginSettings(row.login_settings),
      oidc: resolveOidcSettings(row.oidc_settings),
    };
    // Of a record that has gone stale meanwhile they may be too old.
    if (!issuer.isStale) this.#held.set(issuer.id, { issuer, settings });
    return settings;
  }
}
