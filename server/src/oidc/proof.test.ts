import { createHash, randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { createRecordSweep } from './record-sweep.ts';

// The library goes by the real time.
const clock = new TestClock(new Date().toISOString());
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { services } = server.running;
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
succeeded(await api.patch(`${issuer.path}/oidc-settings`, { dpop: true }));
const url = `http://localhost:4600/${issuer.id}`;
const client = await OidcClient.create(server, issuer, { openid: { access_token_seconds: 3_600 } });
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
const jwk = await exportJWK(publicKey);

const epoch = () => Math.floor(clock.nowMs() / 1000);
const proof = (htm: string, path: string, iat: number, token?: string) =>
  new SignJWT({
    htm,
    htu: url + path,
    jti: randomUUID(),
    ...(token && { ath: createHash('sha256').update(token).digest('base64url') }),
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
    .setIssuedAt(iat)
    .sign(privateKey);

async function boundToken(dpop: string): Promise<string> {
  const code = await client.code(new OidcBrowser(server), { userId: user.id });
  const form = { grant_type: 'authorization_code', code: code.code, code_verifier: code.verifier };
  const answer = await client.post('/token', { ...form, redirect_uri: redirectUri }, { DPoP: dpop });
  return succeeded(answer).body.access_token;
}

/** Forgets whatever is forgotten by now. */
async function sweep(): Promise<void> {
  const kept = () => rows.query('select from oidc_records where model = $1', ['Past']);
  await rows.query(
    `insert into oidc_records (account_id, issuer_id, model, digest, secret_generation, sealed, created_at, expires_at)
     select account_id, issuer_id, 'Past', digest, secret_generation, sealed, created_at, 'epoch' from oidc_records limit 1`,
  );
  const job = createRecordSweep(services.database, services.log, () => clock.now());
  job.wake();
  await expect.poll(kept, { timeout: 10_000, interval: 20 }).toEqual([]);
  await job.close();
}

// Attack: a proof of a client whose clock is ahead is caught, and shown again once nobody remembers it.
test('a proof counts once for as long as it counts at all, also one that is ahead of its time', async () => {
  const token = await boundToken(await proof('POST', '/token', epoch()));
  const ahead = await proof('GET', '/userinfo', epoch() + 290, token);
  const show = async (dpop: string) =>
    (
      await send(`${server.url}/${issuer.id}/userinfo`, {
        headers: { Authorization: `DPoP ${token}`, DPoP: dpop },
      })
    ).status;
  const late = await proof('GET', '/userinfo', epoch() + 290, token);
  expect(await show(ahead)).toBe(200);
  clock.advance(889);
  await sweep();
  // Another of that moment counts still.
  expect(await show(late)).toBe(200);
  expect(await show(ahead)).toBe(401);
  clock.advance(-889);
});

test('so it is at the token endpoint', async () => {
  const iat = Math.floor(Date.now() / 1000) + 290;
  const before = await rows.query('select digest from oidc_records where model = $1', ['ReplayDetection']);
  await boundToken(await proof('POST', '/token', iat));
  const [kept] = await rows.query<{ expires_at: Date }>(
    `select expires_at from oidc_records where model = 'ReplayDetection' and not digest = any ($1)`,
    [before.map(({ digest }) => digest)],
  );
  // Until then the library takes it.
  expect(kept!.expires_at.getTime()).toBeGreaterThan((iat + 300) * 1000);
});
