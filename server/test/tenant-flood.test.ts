import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { createCustomer } from './harness/customer.ts';
import { Rows } from './harness/rows.ts';
import { startTestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

const server = await startTestServer();
const locker = new pg.Client({ connectionString: server.database.superuserUrl });
await locker.connect();
locker.on('error', () => {});
// Within its transaction the locker would see the sessions as they were at its beginning.
const rows = await Rows.open(server.database);
afterAll(async () => {
  await locker.end();
  await rows.close();
  await server.close();
});

// The attack: whoever has one key, a public one of a page perhaps, names a tenant that does not exist with each request.
// Each is a look-up; all of them together would take every connection there is for keys.
test('naming tenants that there are none of takes two connections at the most, whoever does it', async () => {
  const customer = await createCustomer(server);
  const issuer = await TestIssuer.create(server, { preset: 'tenant-header' }, {}, customer.api);
  const organization = await issuer.createOrganization();
  const key = await issuer.createKey();
  const ask = (tenant: string) => issuer.authorize({ 'x-api-key': key.secret, 'x-tn': tenant });
  expect((await ask(organization.id)).status).toBe(200);

  await locker.query('begin; lock table gatelodge.organizations in access exclusive mode');
  const flood = Array.from({ length: 40 }, (_, index) => ask(`tenant-${index}`));
  const waiting = async () => {
    const [row] = await rows.query<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity
       where wait_event_type = 'Lock' and query like '%lookup_organization%'`,
    );
    return row!.count;
  };
  await expect.poll(waiting, { interval: 5 }).toBe(2);
  for (let look = 0; look < 20; look++) expect(await waiting()).toBeLessThanOrEqual(2);
  await locker.query('commit');
  const answers = await Promise.all(flood);
  // Refused for the tenant, or told to come back: never let through.
  for (const { status } of answers) expect([403, 503]).toContain(status);
  expect((await ask(organization.id)).status).toBe(200);
});

test('a tenant is known at once when it has been made, also while somebody keeps asking for its name', async () => {
  const customer = await createCustomer(server);
  const issuer = await TestIssuer.create(server, { preset: 'tenant-header' }, {}, customer.api);
  const key = await issuer.createKey();
  const ask = (tenant: string) => issuer.authorize({ 'x-api-key': key.secret, 'x-tn': tenant });
  for (let round = 0; round < 20; round++) {
    const name = `tenant-${round}`;
    let isMade = false;
    const crowd = Array.from({ length: 4 }, async () => {
      while (!isMade) await ask(name);
    });
    await issuer.createOrganization({ external_id: name });
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(name)));
    isMade = true;
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    await Promise.all(crowd);
  }
});
