import type { EdgeAnswer } from '../edge/answer.ts';
import type { EdgeEndpoint } from '../edge/edge.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { readJsonBody, readOptionalJsonBody } from '../edge/read-body.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import type { AppError } from '../errors.ts';
import { actorOfUser } from '../events/actor.ts';
import { parseInput } from '../http/validation.ts';
import type { AccountSlots } from '../limits/account-slots.ts';
import { organizationsOf } from '../members/user-organizations.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import { emailOf } from '../users/user.ts';
import type { AccessSessions, SignedInUser } from './access-sessions.ts';
import { answerUser } from './auth-answer.ts';
import { logoutBody, refreshBody } from './auth-schema.ts';
import { invalidToken } from './invalid-token.ts';
import type { Sessions } from './sessions.ts';

interface Dependencies {
  sessions: Sessions;
  accessSessions: AccessSessions;
  database: Database;
  accountSlots: AccountSlots;
  docsBaseUrl: string;
}

/** More than the longest token takes, each character of it written as an escape. */
const maxBodyBytes = 16 * 1024;

/** `POST /auth/refresh`: the refresh token is all that is needed. */
export class RefreshEndpoint implements EdgeEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { sessions, docsBaseUrl } = this.#deps;
    return answerUser(request, info, headers, docsBaseUrl, async ({ issuerId, isOf }) => {
      const { refresh_token: shown } = parseInput(refreshBody, await readJsonBody(request, maxBodyBytes));
      const signedIn = await sessions.refresh(shown, issuerId, info, isOf);
      const { token, token_type, expires_in, refresh_token, user } = signedIn;
      return { success: true, token, token_type, expires_in, refresh_token, user };
    });
  }
}

/** `POST /auth/logout`: by the access token, or by the refresh token where the other has expired. */
export class LogoutEndpoint implements EdgeEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { sessions, accessSessions, docsBaseUrl } = this.#deps;
    return answerUser(request, info, headers, docsBaseUrl, async ({ issuerId, isOf }) => {
      const refreshToken = await refreshTokenOf(request);
      if (refreshToken !== null) {
        isOf(await sessions.endByRefreshToken(refreshToken, issuerId, info));
        return { success: true };
      }
      const user = await accessSessions.authenticateRequest(request, issuerId, isOf);
      const scope = {
        accountId: user.issuer.account.id,
        issuerId: user.issuer.id,
        sessionId: user.sessionId,
      };
      const author = { actor: actorOfUser(user.userId, info), requestId: info.id };
      await sessions.end(scope, user.issuer, 'logout', author);
      return { success: true };
    });
  }
}

/** `GET /auth/me`: the user of an access token. */
export class AuthMeEndpoint implements EdgeEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { accessSessions, docsBaseUrl } = this.#deps;
    return answerUser(request, info, headers, docsBaseUrl, async ({ issuerId, isOf }) => {
      const user = await accessSessions.authenticateRequest(request, issuerId, isOf);
      return { success: true, user: await this.#describe(user) };
    });
  }

  /** @throws invalid_token where the user has been deleted since */
  async #describe({ issuer, userId, sessionId }: SignedInUser): Promise<object> {
    const { accountSlots, database } = this.#deps;
    const accountId = issuer.account.id;
    const read = async (tx: Transaction) => {
      const row = await tx
        .selectFrom('users')
        .select(['id', 'username_type', 'username', 'profile', 'created_at'])
        .where('account_id', '=', accountId)
        .where('issuer_id', '=', issuer.id)
        .where('id', '=', userId)
        .executeTakeFirst();
      if (row === undefined) throw invalidToken();
      return { row, organizations: await organizationsOf(tx, { accountId, issuerId: issuer.id, userId }) };
    };
    const { row, organizations } = await accountSlots.run(accountId, () =>
      database.withAccount(accountId, read),
    );
    return {
      id: row.id,
      email: emailOf(row),
      username_type: row.username_type,
      username: row.username,
      profile: row.profile,
      issuer_id: issuer.id,
      environment: issuer.environment,
      session_id: sessionId,
      organizations,
      created_at: row.created_at.toISOString(),
    };
  }
}

/** The token that a body names, if there is a body at all. */
async function refreshTokenOf(request: EdgeRequest): Promise<string | null> {
  const { headers } = request;
  const length = Number(headers['content-length'] ?? 0);
  if (length === 0 && headers['transfer-encoding'] === undefined) return null;
  const body = await readOptionalJsonBody(request, maxBodyBytes);
  return body === undefined ? null : (parseInput(logoutBody, body).refresh_token ?? null);
}

/** What is refused before one of these meets it, as they refuse. */
export class UserRefusal implements EdgeEndpoint {
  readonly #error: () => AppError;
  readonly #docsBaseUrl: string;

  constructor(error: () => AppError, docsBaseUrl: string) {
    this.#error = error;
    this.#docsBaseUrl = docsBaseUrl;
  }

  handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    return answerUser(request, info, headers, this.#docsBaseUrl, () => Promise.reject(this.#error()));
  }
}
