import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { HeldRows } from '../../test/harness/held-rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const held = await HeldRows.open(server.database);
afterEach(() => held.release());
afterAll(async () => {
  await held.close();
  await server.close();
});

// The attack: whoever has the key of a tenant, or of an issuer, sends requests that stand at a lock until they have every
// slot of the account. The owner, who sees it, can't revoke the key.
test.each(['an organization', 'an issuer'])(
  'a flood with the key of %s does not keep its owner from revoking it',
  async (level) => {
    const { api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const { id } = await issuer.createOrganization();
    const members = `${issuer.path}/organizations/${id}/members`;
    const user = await api.create(`${issuer.path}/users`, { username: 'a@example.com' });
    await api.create(members, { member_id: user.id, scopes: ['a:b'] });
    const scopes = ['gatelodge.members:write'];
    const key = await issuer.createKey({ restrictions: { scopes } }, level === 'an issuer' ? undefined : id);
    const tenant = api.as(key);

    await held.holdUser(user.id);
    const flood = Array.from({ length: 20 }, (_, at) =>
      tenant.patch(`${members}/${user.id}`, { scopes: [`a:b${at}`] }),
    );
    await held.waiting(3);
    const answers = [await api.get(`${issuer.path}/organizations`), await api.post(`${key.path}/revoke`)];
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    // Who has not waited for long is not asked again who it is.
    await sleep(100);
    await held.release();
    // Those that waited until they might wait no longer on a slow machine are turned away as they always were.
    for (const { body } of await Promise.all(flood))
      expect(['revoked_key', 'unavailable']).toContain(body.code);
  },
);
