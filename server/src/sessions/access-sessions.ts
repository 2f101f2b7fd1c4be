import type pg from 'pg';
import { findCredentials } from '../authentication/credentials.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import type { RequestInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import { AccountSlots } from '../limits/account-slots.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import { lookUpOrganizationsOf, type OrganizationClaim } from '../members/user-organizations.ts';
import { callLookup } from '../postgres/lookup.ts';
import type { Settings } from '../settings.ts';
import type { SigningKeys } from '../signing-keys/signing-keys.ts';
import type { NamedBy } from '../verification/issuer-lanes.ts';
import { type KeyDirectory, lookupConnections } from '../verification/key-directory.ts';
import type { AccountRecord, IssuerRecord } from '../verification/records.ts';
import { isOfBuiltInClient, issuerNamedBy } from './access-token.ts';
import { builtInClientId } from './built-in-client.ts';
import { invalidToken, requireInService } from './invalid-token.ts';
import { SharedReads } from './shared-reads.ts';

/** Whoever has shown an access token that counts. */
export interface SignedInUser {
  issuer: IssuerRecord;
  userId: string;
  sessionId: string;
  scopes: readonly string[];
}

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  signingKeys: Pick<SigningKeys, 'verify'>;
  keys: KeyDirectory;
  lookupPool: pg.Pool;
  nowMs: () => number;
}

/** A row of `lookup_session`. */
interface SessionState extends pg.QueryResultRow {
  account_id: string;
  user_id: string;
  client_id: string;
  audience: string | null;
  expires_at: Date;
  ended_at: Date | null;
  user_status: 'active' | 'suspended';
  issuer_status: IssuerRecord['status'];
  account_status: AccountRecord['status'];
}

const bearerOnly = { keyHeaders: ['authorization'], takesBasic: false } as const;

/**
 * Authenticates users by the access tokens of the built-in client.
 *
 * The signature says that we made the token, the database whether it still counts: it is asked each time, so that whatever
 * ends a session, its user or its issuer does so at the next request, on every node.
 */
export class AccessSessions {
  readonly #deps: Dependencies;
  /** Any user may ask without end: no account gets all of the look-ups' connections. */
  readonly #slots = new AccountSlots(lookupConnections);
  /** Nor does one session get all that its account has. */
  readonly #reads = new SharedReads<SessionState | undefined>();
  readonly #organizationReads = new SharedReads<OrganizationClaim[]>();

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Of the bearer token of a request that has to have one. @throws as `authenticate` does */
  authenticateRequest(
    request: EdgeRequest,
    info: RequestInfo,
    issuerId: string | null,
    isOf: (issuer: IssuerRecord) => void,
  ): Promise<SignedInUser> {
    const credentials = findCredentials(request.headers, bearerOnly);
    if (credentials.outcome === 'token') return this.authenticate(credentials.token, info, issuerId, isOf);
    return Promise.reject(
      new AppError('invalid_token', { detail: 'Send the access token as Authorization: Bearer.' }),
    );
  }

  /**
   * The user of an access token.
   *
   * @param issuerId of the path; null for whichever issuer the token is of
   * @param isOf told whose the token is, also where it is refused then
   * @throws invalid_token (401); issuer_suspended, account_suspended (403); unavailable (503)
   */
  async authenticate(
    token: string,
    info: RequestInfo,
    issuerId: string | null,
    isOf: (issuer: IssuerRecord) => void = () => {},
  ): Promise<SignedInUser> {
    const { settings, signingKeys, keys, nowMs } = this.#deps;
    const named = issuerNamedBy(token, settings.publicUrl);
    if (named === null || (issuerId !== null && named !== issuerId)) throw invalidToken();
    const namedBy: NamedBy = { tokenFrom: info.ip };
    const issuer = await keys.findIssuer(named, namedBy);
    if (issuer === null) throw invalidToken();
    const verdict = await signingKeys.verify(named, token, nowMs(), { namedBy });
    if (!verdict.ok) throw invalidToken();
    const { claims } = verdict;
    if (claims.client_id !== builtInClientId) throw tokenOfClient(claims.client_id, info);
    if (!isOfBuiltInClient(claims) || claims.environment !== issuer.environment) throw invalidToken();
    const state = await this.#stateOf(issuer, claims.sid);
    const audience = state?.audience ?? issuerUrl(settings, issuer.id);
    if (state === undefined || state.user_id !== claims.sub || state.client_id !== claims.client_id)
      throw invalidToken();
    if (claims.aud !== audience) throw invalidToken();
    isOf(issuer);
    requireInService({
      status: state.issuer_status,
      account: { ...issuer.account, status: state.account_status },
    });
    if (state.ended_at !== null || state.expires_at.getTime() <= nowMs() || state.user_status !== 'active')
      throw invalidToken();
    return {
      issuer,
      userId: state.user_id,
      sessionId: claims.sid,
      scopes: claims.scope === undefined ? [] : String(claims.scope).split(' '),
    };
  }

  /** The organizations of a user as they are now, whatever its token says. @throws unavailable (503) */
  organizationsOf({ issuer, userId }: SignedInUser): Promise<OrganizationClaim[]> {
    const { lookupPool } = this.#deps;
    const accountId = issuer.account.id;
    return this.#organizationReads.read(`${issuer.id}/${userId}`, (begins) =>
      this.#slots.run(accountId, () => {
        begins();
        return lookUpOrganizationsOf(lookupPool, { accountId, issuerId: issuer.id, userId });
      }),
    );
  }

  #stateOf(issuer: IssuerRecord, sessionId: string): Promise<SessionState | undefined> {
    const { lookupPool } = this.#deps;
    return this.#reads.read(`${issuer.id}/${sessionId}`, (begins) =>
      this.#slots.run(issuer.account.id, async () => {
        begins();
        const [row] = await callLookup<SessionState>(lookupPool, 'lookup_session', [issuer.id, sessionId]);
        return row;
      }),
    );
  }
}

/** A token that is good elsewhere. Whoever holds it can read whose it is, so telling that gives nothing away. */
function tokenOfClient(clientId: string, info: RequestInfo): AppError {
  noteOnRequest(info, {
    clientId,
    reason: 'the token is of a client; only those of the mailed code count here',
  });
  return new AppError('invalid_token', {
    detail:
      'The token is one of an OIDC client, which /{issuer_id}/userinfo takes; here only those of sign-in by e-mailed code count.',
  });
}
