import { type HttpAnswer, hasMediaType, parseObject, send } from '../browser/http.ts';
import type { Trial } from '../suite/trial.ts';
import { checkClaimTypes } from './standard-claims.ts';

/** The three ways to show an access token (Core §5.3.1, RFC 6750 §2). */
export type UserinfoWay = 'get' | 'post-header' | 'post-body';

/** Asks the UserInfo endpoint with a token, whatever it answers. */
export function askForUserinfo(
  trial: Trial,
  accessToken: string | undefined,
  way: UserinfoWay = 'get',
): Promise<HttpAnswer> {
  const url = trial.metadata.url('userinfo_endpoint');
  if (way === 'post-body') {
    return send({ url, method: 'POST', form: new URLSearchParams({ access_token: accessToken ?? '' }) });
  }
  const headers: Record<string, string> =
    accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` };
  return send({ url, method: way === 'get' ? 'GET' : 'POST', headers });
}

/** The claims of an answer, which is checked (Core §5.3.2) and must be about the same user as the ID token. */
export function userinfoFrom(
  trial: Trial,
  answer: HttpAnswer,
  sub: string | undefined,
): Readonly<Record<string, unknown>> {
  trial.require(answer.status === 200, `the UserInfo endpoint answers ${answer.status} (Core §5.3.2)`);
  trial.check(hasMediaType(answer, 'application/json'), 'the answer is not application/json (Core §5.3.2)');
  const claims = parseObject(answer.body);
  trial.require(claims !== undefined, 'the answer of the UserInfo endpoint is no JSON object (Core §5.3.2)');
  trial.check(typeof claims.sub === 'string', 'UserInfo has no sub (Core §5.3.2)');
  trial.check(claims.sub === sub, 'sub of UserInfo is not that of the ID token (Core §5.3.2)');
  checkClaimTypes(trial, claims, 'UserInfo');
  return claims;
}
