import { insertEvents } from '../../src/events/event-store.ts';
import { findLoginSettings } from '../../src/login-settings/login-settings.ts';
import type { SignedIn } from '../../src/sessions/sessions.ts';
import type { TestServer } from './server.ts';

const actor = { type: 'system', id: 'test', ip: null, user_agent: null } as const;

/** A session of this user, begun as signing in begins one. */
export async function signIn(
  { running: { services } }: Pick<TestServer, 'running'>,
  issuerId: string,
  userId: string,
): Promise<SignedIn> {
  const issuer = await services.keys.findIssuer(issuerId);
  if (issuer === null) throw new Error('no such issuer');
  const accountId = issuer.account.id;
  return services.database.withAccount(accountId, async (tx) => {
    const user = await tx
      .selectFrom('users')
      .selectAll()
      .where('account_id', '=', accountId)
      .where('id', '=', userId)
      .executeTakeFirstOrThrow();
    return services.sessions.begin(tx, {
      issuer,
      settings: await findLoginSettings(tx, issuer),
      user,
      amr: ['otp'],
      ip: '203.0.113.7',
      userAgent: 'tests/1.0',
      nowMs: services.clock.nowMs(),
      record: (event) => insertEvents(tx, { accountId, actor, requestId: null }, [event]),
    });
  });
}
