import type { Session } from 'oidc-provider';
import type { RequestInfo } from '../edge/request-info.ts';
import { actorOfUser } from '../events/actor.ts';
import { readCookie } from '../login/cookies.ts';
import { endSessions } from '../sessions/session-store.ts';
import { CookieKeys } from './cookie-keys.ts';
import type { HeldProvider } from './providers.ts';

/** The browser login whose cookie a request carries; null where it carries none, or nobody is signed in by it. */
export async function findBrowserLogin(
  { provider, runtime }: HeldProvider,
  cookieHeader: string | undefined,
): Promise<(Session & { accountId: string }) | null> {
  const name = provider.cookieName('session');
  const headers = { cookie: cookieHeader };
  // Of several of one name the one that the library takes, too: another site of the host's domain may have set the others.
  const value = readCookie({ headers }, name);
  const signature = readCookie({ headers }, `${name}.sig`);
  if (value === undefined || signature === undefined) return null;
  const keys = new CookieKeys(runtime.secrets, runtime.issuer.id);
  if (!keys.verify(`${name}=${value}`, signature)) return null;
  const session = await provider.Session.find(value);
  return session?.accountId === undefined ? null : (session as Session & { accountId: string });
}

/** Takes the cookies of a browser login away, as a flat list of header fields. */
export function forgottenLogin({ provider, runtime }: HeldProvider): string[] {
  const { pathname, protocol } = new URL(runtime.url);
  const name = provider.cookieName('session');
  const attributes = `path=${pathname}/; expires=Thu, 01 Jan 1970 00:00:00 GMT; samesite=lax; ${protocol === 'https:' ? 'secure; ' : ''}httponly`;
  return [name, `${name}.sig`].flatMap((cookie) => ['Set-Cookie', `${cookie}=; ${attributes}`]);
}

/** Ends the sessions that this login has with its clients, each with its event and word to its client, and itself. */
export async function endBrowserLogin(
  { runtime }: HeldProvider,
  login: Session & { accountId: string },
  info: RequestInfo,
): Promise<void> {
  const { id: issuerId, account, environment } = runtime.issuer;
  const scope = { accountId: account.id, issuerId, environment, loginUid: login.uid };
  const actor = actorOfUser(login.accountId, info);
  await runtime.inAccount((tx) =>
    endSessions(tx, scope, 'logout', {
      now: runtime.now(),
      recordAll: (events) => runtime.recordAll(tx, actor, info, events),
    }),
  );
}
