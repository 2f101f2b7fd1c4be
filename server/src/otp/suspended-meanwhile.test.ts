import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { newAddress, SignIn } from '../../test/harness/otp-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

/*
 * Attack: have a sign-in wait while the issuer or the account is suspended or deleted, and get tokens all the same. They
 * would be refused here, but hold for ten minutes wherever else somebody verifies them.
 */

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
const observer = await Rows.open(server.database);
afterAll(async () => {
  await observer.close();
  await rows.close();
  await server.close();
});

async function newWorld() {
  clock.advance(3_600);
  const customer = await createCustomer(server);
  const issuer = await TestIssuer.create(server, { preset: 'otp' }, {}, customer.api);
  const app = SignIn.withKey(server, await issuer.createKey());
  return { customer, issuer, app, email: newAddress() };
}
type World = Awaited<ReturnType<typeof newWorld>>;

const suspendIssuer = async ({ issuer }: World) => succeeded(await issuer.api.post(`${issuer.path}/suspend`));
const deleteIssuer = async ({ issuer }: World) => succeeded(await issuer.api.delete(issuer.path));
const suspendAccount = async ({ customer }: World) =>
  succeeded(await server.operator.api.post(`/v1/accounts/${customer.id}/suspend`));
const deleteAccount = async ({ customer }: World) =>
  succeeded(await server.operator.api.delete(`/v1/accounts/${customer.id}?name=Acme&force=true`));

/** Has a verification wait for a row that `lock` holds, until `meanwhile` is done. */
async function verifyDuring(
  { app, email }: World,
  code: string,
  lock: string,
  meanwhile: () => Promise<unknown>,
) {
  await rows.query('begin');
  await rows.query(lock);
  const waiting = app.verify(email, code);
  await expect
    .poll(() => observer.query('select from pg_locks where not granted'), { timeout: 10_000, interval: 5 })
    .not.toEqual([]);
  await meanwhile();
  await rows.query('commit');
  return waiting;
}

const lockAddresses = 'select from otp_addresses for update';
// What no change of the user's name waits for; the statement that begins the session does.
const lockUsers = 'select from users for no key update';

describe('a sign-in that was under way', () => {
  test.each([
    ['issuer is suspended', suspendIssuer, [403]],
    // Nothing is found once the job that takes its rows away has come that far.
    ['issuer is deleted', deleteIssuer, [401, 404]],
    ['account is suspended', suspendAccount, [403]],
    ['account is deleted', deleteAccount, [401, 404]],
  ])('gets nothing where its %s', async (_name, end, statuses) => {
    const world = await newWorld();
    const code = await world.app.code(world.email);
    const before = await observer.count('sessions');
    const answer = await verifyDuring(world, code, lockAddresses, () => end(world));
    expect(statuses).toContain(answer.status);
    expect(answer.text).not.toContain('token');
    expect(await observer.count('sessions')).toBe(before);
  });

  test.each([
    ['account', suspendAccount, 'Account is suspended'],
    ['issuer', suspendIssuer, 'Issuer is suspended'],
  ])('gets nothing where its %s is suspended at the last moment', async (_name, end, error) => {
    const world = await newWorld();
    await world.app.signIn(world.email);
    clock.advance(60);
    const code = await world.app.code(world.email);
    const before = await observer.count('sessions');
    const answer = await verifyDuring(world, code, lockUsers, () => end(world));
    expect([answer.status, answer.body]).toEqual([403, { error, code: 'FORBIDDEN' }]);
    expect(await observer.count('sessions')).toBe(before);
  });

  test('has its code left, for when the issuer is active again', async () => {
    const world = await newWorld();
    const { app, email, issuer } = world;
    const code = await app.code(email);
    const answer = await verifyDuring(world, code, lockAddresses, () => suspendIssuer(world));
    expect(answer.status).toBe(403);
    expect((await issuer.api.get(`${issuer.path}/users`)).body.data).toEqual([]);
    succeeded(await issuer.api.post(`${issuer.path}/activate`));
    expect((await app.verify(email, code)).status).toBe(200);
  });
});
