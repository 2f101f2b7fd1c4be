import { decide } from '../verification/decide.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import { chargeAndRecord, type Meter } from '../verification/meter.ts';
import type { KeyRecord } from '../verification/records.ts';
import { refusals } from '../verification/refusals.ts';
import { parameter } from './form-body.ts';
import { type ClientForm, FormEndpoint, type FormEndpointDependencies } from './form-endpoint.ts';
import { OAuthError } from './oauth-answer.ts';

/**
 * `POST /{issuer_id}/keyinfo`: what introspection says of a token, of a key of one of the issuer's organizations. It is a
 * verification like any other: it counts against the key's limits and is metered.
 */
export class KeyinfoEndpoint extends FormEndpoint {
  protected readonly takesPublicClients = false;
  protected override readonly takesRegisteredClients = false;
  readonly #keys: KeyDirectory;
  readonly #meter: Meter;
  readonly #nowMs: () => number;

  constructor(deps: FormEndpointDependencies & { meter: Meter; nowMs: () => number }) {
    super(deps);
    this.#keys = deps.keys;
    this.#meter = deps.meter;
    this.#nowMs = deps.nowMs;
  }

  protected async carryOut({ form, held }: ClientForm): Promise<object> {
    const secret = parameter(form, 'key');
    if (secret === null) throw new OAuthError(400, 'invalid_request', 'key is missing');
    const key = await this.#keys.findOrImported(secret, held.runtime.issuer.account.id);
    const { issuer } = held.runtime;
    // Of other issuers, and of an issuer's own keys, there is nothing to be said here.
    if (key === null || key.issuer?.id !== issuer.id || key.organization === null) return { active: false };
    const decision = decide(key, nothingAsked, this.#nowMs());
    const { refusal, limits } = await chargeAndRecord(this.#meter, { key, decision, entrance: 'verify' });
    if (refusal === 'rate_limited' || refusal === 'quota_exceeded') {
      const wait = limits !== null && !limits.admitted ? retryAfterOf(limits) : null;
      throw new OAuthError(
        429,
        'slow_down',
        refusals[refusal].describe(wait === null ? {} : { retryAfterSeconds: wait }),
        wait === null ? {} : { 'Retry-After': String(wait) },
      );
    }
    return decision.valid && refusal === null
      ? activeKey(key, held.runtime.url, decision.scopes)
      : { active: false };
  }
}

const nothingAsked = {
  origin: undefined,
  hasBrowserHeaders: false,
  ip: undefined,
  tenant: null,
  tenantGiven: false,
  tenantRequired: false,
  scopes: [],
};

function retryAfterOf(limits: object): number | null {
  return 'retryAfterSeconds' in limits && typeof limits.retryAfterSeconds === 'number'
    ? limits.retryAfterSeconds
    : null;
}

function activeKey(key: KeyRecord, issuerUrl: string, scopes: readonly string[]): object {
  const { organization } = key;
  return {
    active: true,
    token_type: 'api_key',
    iss: issuerUrl,
    sub: key.id,
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    ...(key.expiresAtMs !== null && { exp: Math.floor(key.expiresAtMs / 1000) }),
    environment: key.environment,
    org_id: organization?.id,
    organizations:
      organization === null ? [] : [{ org_id: organization.id, name: organization.name, scopes }],
    metadata: key.metadata,
  };
}
