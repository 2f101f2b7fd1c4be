import { afterAll, expect, test } from 'vitest';
import { createCustomer } from './harness/customer.ts';
import { newAddress, SignIn } from './harness/otp-client.ts';
import { Rows } from './harness/rows.ts';
import { startTestServer } from './harness/server.ts';
import { succeeded, TestIssuer } from './harness/test-issuer.ts';

const server = await startTestServer();
const [locker, observer] = [await Rows.open(server.database), await Rows.open(server.database)];
afterAll(async () => {
  await locker.close();
  await observer.close();
  await server.close();
});

/*
 * Attack: a stranger takes the publishable key of a page and asks for codes until every slot of the account waits in its
 * transactions. The owner can do nothing any more, not even revoke the key that does it.
 */
test('the owner revokes the key by which strangers hold all of sign-in’s slots', async () => {
  const { api } = await createCustomer(server);
  const issuer = await TestIssuer.create(server, { preset: 'otp' }, {}, api);
  const key = await issuer.createKey({ kind: 'publishable' });
  const stranger = SignIn.withKey(server, key);
  await locker.query('begin; lock table otp_addresses in access exclusive mode');
  const flood = Array.from({ length: 60 }, (_, index) =>
    index % 2 === 0 ? stranger.request(newAddress()) : stranger.verify(newAddress(), '123456'),
  );
  await expect
    .poll(
      async () =>
        (
          await observer.query('select from pg_locks where not granted and relation = $1::regclass', [
            'otp_addresses',
          ])
        ).length,
      { timeout: 10_000, interval: 5 },
    )
    .toBe(3);
  succeeded(await api.get(issuer.path));
  succeeded(await api.post(`${key.path}/revoke`));
  // Nor do other accounts wait.
  const other = await createCustomer(server);
  succeeded(await other.api.get('/v1/account'));
  await locker.query('commit');
  for (const { status } of await Promise.all(flood)) expect([200, 401, 503]).toContain(status);
  expect((await stranger.request(newAddress())).status).toBe(401);
});
