import type { Context, OIDCProviderError } from 'oidc-provider';
import { requestInfoOf } from '../edge/request-info.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import { NetworkCap } from '../limits/network-cap.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import { deviceCodeGrant } from './grant-types.ts';
import { recordDigests } from './record-digests.ts';
import type { IssuerRuntime } from './runtime.ts';

/** Where it stands what a token request of each grant type shows, and what that is to the library. */
const shownBy: ReadonlyMap<unknown, { parameter: string; model: string }> = new Map([
  ['authorization_code', { parameter: 'code', model: 'AuthorizationCode' }],
  ['refresh_token', { parameter: 'refresh_token', model: 'RefreshToken' }],
  [deviceCodeGrant, { parameter: 'device_code', model: 'DeviceCode' }],
]);

interface Missed {
  readonly model: string;
  readonly digests: readonly Buffer[];
}

const missed = new WeakMap<object, Missed | { readonly organizationId: string }>();

/** Remembers what a token request has shown and was not found, for `NotFoundReasons`. */
export function rememberNotFound(runtime: IssuerRuntime, context: Context, error: OIDCProviderError): void {
  const { error: code, error_detail: detail = '' } = error;
  if (code !== 'invalid_grant' || !detail.endsWith('not found')) return;
  const { params } = context.oidc;
  const place = shownBy.get(params.grant_type);
  const value = place && params[place.parameter];
  if (place === undefined || typeof value !== 'string') return;
  const { model } = place;
  const digests = recordDigests(runtime.secrets, { issuerId: runtime.issuer.id, model }, value);
  missed.set(requestInfoOf(context.req), { model, digests });
}

/** Remembers which organization an authorization request was refused for, for `NotFoundReasons`. */
export function rememberOrganization({ req, oidc }: Context, error: OIDCProviderError): void {
  const org = oidc.params?.org;
  if (error.error === 'access_denied' && typeof org === 'string' && isId(idPrefixes.organization, org))
    missed.set(requestInfoOf(req), { organizationId: org });
}

/** A guesser has no need of being told, and no part of the account's transactions for long. */
const askedAMinute = 30;

/**
 * Why a code, a token or an organization was not found: what has gone with its session or its user is passed over like what there never
 * was. Only the log is told, and asked once the request has been answered, so that the answer's time tells nothing.
 */
export class NotFoundReasons {
  readonly #cap: NetworkCap;

  constructor(nowMs: () => number) {
    this.#cap = new NetworkCap(nowMs, askedAMinute);
  }

  /** Notes the reason, where one was asked for. Never rejects. */
  async noteFor(runtime: IssuerRuntime, info: { readonly ip: string }): Promise<void> {
    const what = missed.get(info);
    if (what === undefined || this.#cap.isOver(info.ip)) return;
    const finding = 'model' in what ? find(runtime, what) : findSuspended(runtime, what.organizationId);
    const circumstance = await finding.catch(() => undefined);
    noteOnRequest(info, { circumstance });
  }
}

async function find(runtime: IssuerRuntime, { model, digests }: Missed): Promise<string | undefined> {
  const { id: issuerId, account } = runtime.issuer;
  const row = await runtime.inAccount((tx) =>
    tx
      .selectFrom('oidc_records as r')
      .leftJoin('sessions as s', 's.id', 'r.session_id')
      .leftJoin('users as u', 'u.id', 'r.user_id')
      .select(['r.session_id', 's.id as found_session', 's.ended_at', 's.end_reason', 'u.status'])
      .where('r.account_id', '=', account.id)
      .where('r.issuer_id', '=', issuerId)
      .where('r.model', '=', model)
      .where('r.digest', 'in', digests)
      .executeTakeFirst(),
  );
  if (row === undefined) return 'there is none such, or it has long expired';
  if (row.ended_at !== null) return `its session has ended: ${row.end_reason}`;
  if (row.session_id !== null && row.found_session === null) return 'its session is gone';
  return row.status === 'suspended' ? 'its user is suspended' : undefined;
}

async function findSuspended(runtime: IssuerRuntime, organizationId: string): Promise<string | undefined> {
  const { id: issuerId, account } = runtime.issuer;
  const row = await runtime.inAccount((tx) =>
    tx
      .selectFrom('organizations')
      .select('status')
      .where('account_id', '=', account.id)
      .where('issuer_id', '=', issuerId)
      .where('id', '=', organizationId)
      .executeTakeFirst(),
  );
  return row?.status === 'suspended' ? 'the organization is suspended' : undefined;
}
