import { isWellFormedOrigin, originCandidates } from '../api-keys/origins.ts';
import { AppError } from '../errors.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import { allPresetKeyHeaders } from '../key-profiles/presets.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import type { EdgeAnswer } from './answer.ts';
import { preflightHeaders } from './cors.ts';
import type { EdgeRequest } from './edge-request.ts';
import type { EdgeInfo } from './request-info.ts';

const alwaysAllowable = [
  'authorization',
  'content-type',
  'idempotency-key',
  'if-match',
  ...allPresetKeyHeaders,
  'x-tn',
];

/**
 * Answers a preflight. It carries no key, so it can only say what some key may: on a path that names no issuer every
 * well-formed origin, on one that does an origin that some usable key of the issuer may be used from. The real request
 * is checked exactly.
 */
export class PreflightEndpoint {
  readonly #keys: KeyDirectory;
  readonly #allowable: ReadonlySet<string> = new Set(alwaysAllowable);

  constructor(keys: KeyDirectory) {
    this.#keys = keys;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const origin = request.headers.origin ?? '';
    const issuerId = issuerNamedBy(request.url ?? '');
    const answer = (isAllowed: boolean, allowable: ReadonlySet<string>): EdgeAnswer => {
      headers.push('X-Request-Id', info.id, ...preflightHeaders(request.headers, isAllowed, allowable));
      return { status: 204 };
    };
    if (!isWellFormedOrigin(origin)) return answer(false, this.#allowable);
    if (issuerId === null) return answer(true, this.#allowable);
    const issuer = await this.#keys.findIssuer(issuerId);
    if (issuer === null) return answer(false, this.#allowable);
    const { key_headers: keyHeaders, tenant_header: tenantHeader } = issuer.profile;
    const own = [...keyHeaders, ...(tenantHeader ? [tenantHeader.name] : [])].map((name) =>
      name.toLowerCase(),
    );
    const isAllowed = await this.#keys.mayUseOrigin(issuerId, originCandidates(origin)).catch(asAllowed);
    return answer(isAllowed, new Set([...this.#allowable, ...own]));
  }
}

/** What a user calls by its own token, whichever page it is on: no key decides about these. */
const userPath = /^\/[^/]+\/auth\/(?:me|refresh|logout)$/;

/** `/v1/issuers/{i}/…`, `/v1/authorize/{i}` and the issuer's own runtime, `/{i}/…`. */
function issuerNamedBy(url: string): string | null {
  const path = url.split('?', 1)[0]!;
  if (userPath.test(path)) return null;
  const segments = path.split('/');
  return segments.find((segment) => isId(idPrefixes.issuer, segment)) ?? null;
}

/**
 * Too many ask, or Postgres is away: the page may try. The real request is checked exactly, and a flood of preflights
 * does not keep honest pages from it.
 */
function asAllowed(error: unknown): boolean {
  if (error instanceof AppError && error.code === 'unavailable') return true;
  throw error;
}
