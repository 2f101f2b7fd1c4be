import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const create = async () => {
  const organization = await issuer.createOrganization();
  return { id: organization.id, path: `${issuer.path}/organizations/${organization.id}` };
};

describe('200', () => {
  test('suspended, its keys are refused by the very next request and nobody acts for it; activated, again', async () => {
    const [tenant, neighbour] = [await create(), await create()];
    const own = await issuer.createKey(
      { restrictions: { scopes: ['gatelodge.organizations:read'] } },
      tenant.id,
    );
    const ofIssuer = await issuer.createKey();
    const verify = async (body: Record<string, unknown>) =>
      (await api.post('/v1/keys/verify', body)).body.code;
    const codes = async () => [
      await verify({ key: own.secret }),
      await verify({ key: ofIssuer.secret, tenant: tenant.id }),
      await verify({ key: ofIssuer.secret, tenant: neighbour.id }),
      await verify({ key: ofIssuer.secret }),
      (await api.as(own).get(tenant.path)).body.code ?? 'read',
      (await issuer.authorize({ 'X-API-Key': own.secret })).status,
    ];
    expect(await codes()).toEqual(['VALID', 'VALID', 'VALID', 'VALID', 'read', 200]);

    const answer = await api.post(`${tenant.path}/suspend`);
    expect([answer.status, answer.body.data.status]).toEqual([200, 'suspended']);
    expect(await codes()).toEqual([
      'TENANT_SUSPENDED',
      'TENANT_SUSPENDED',
      'VALID',
      'VALID',
      'tenant_suspended',
      403,
    ]);

    expect((await api.post(`${tenant.path}/activate`)).body.data.status).toBe('active');
    expect(await codes()).toEqual(['VALID', 'VALID', 'VALID', 'VALID', 'read', 200]);
  });

  test.each([
    ['suspend', 'organization.suspended'],
    ['activate', 'organization.activated'],
  ])('%s done twice is one change and one event', async (verb, type) => {
    const { id, path } = await create();
    if (verb === 'activate') succeeded(await api.post(`${path}/suspend`));
    const { result: first, events } = await rows.eventsOf(() => api.post(`${path}/${verb}`));
    expect(events).toMatchObject([
      { type, issuer_id: issuer.id, organization_id: id, subject_id: id, actor: { id: key.id } },
    ]);
    const before = await rows.snapshot();
    const second = await api.post(`${path}/${verb}`);
    expect([second.status, second.text]).toEqual([200, first.text]);
    expect(second.headers.get('ETag')).toBe(first.headers.get('ETag'));
    expect(await rows.snapshot()).toEqual(before);
  });

  test('50 at once suspend it once', async () => {
    const { path } = await create();
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, () => api.post(`${path}/suspend`)),
    );
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(events.length).toBe(1);
  });
});
