import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { createRecordSweep } from './record-sweep.ts';

const clock = new TestClock(new Date().toISOString());
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const { database, log } = server.running.services;

/** What the job does that forgets what has expired; something else that has is how it is known to have been here. */
async function sweep(): Promise<void> {
  const grants = `from oidc_records where model = 'ReplayDetection'`;
  await rows.query(`insert into oidc_records (issuer_id, account_id, model, digest, secret_generation, sealed, created_at,
    expires_at) select issuer_id, account_id, 'ReplayDetection', '\\x00', secret_generation, sealed, created_at,
    created_at - interval '1 day' from oidc_records limit 1`);
  const job = createRecordSweep(database, log, () => clock.now());
  job.wake();
  await expect.poll(() => rows.query(`select 1 ${grants}`), { timeout: 10_000 }).toEqual([]);
  await job.close();
}

test('what is pushed serves the slowest user, and one alone', async () => {
  const { verifier, challenge } = pkce();
  const { body } = succeeded(
    await client.post('/par', {
      ...{ client_id: client.id, response_type: 'code', redirect_uri: redirectUri, scope: 'openid' },
      ...{ code_challenge: challenge, code_challenge_method: 'S256' },
    }),
  );
  // Both open it within its minute, and then look for the mail.
  const browsers = [new OidcBrowser(server), new OidcBrowser(server)];
  const query = new URLSearchParams({ client_id: client.id, request_uri: body.request_uri });
  const pages = await Promise.all(
    browsers.map((browser) => browser.request(`/${issuer.id}/authorize?${query}`)),
  );
  clock.advance(1_200);
  await sweep();
  const ends = [];
  for (const [at, browser] of browsers.entries()) {
    const uid = new URL(pages[at]!.headers.get('Location')!).pathname.split('/').at(-1)!;
    const { parameters } = await browser.follow(await browser.answer(issuer.id, uid, { userId: user.id }), {
      userId: user.id,
    });
    ends.push(parameters);
  }
  expect(ends.map((parameters) => parameters.get('error'))).toEqual([null, 'invalid_request_uri']);
  succeeded(await client.redeem({ code: ends[0]!.get('code')!, verifier }));
});
