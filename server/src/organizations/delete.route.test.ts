import { afterAll, describe, expect, test } from 'vitest';
import { atOnce, patiently } from '../../test/harness/at-once.ts';
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
const keysLeft = async (id: string) =>
  (await rows.query('select 1 from api_keys where organization_id = $1', [id])).length;
const pathOf = ({ id }: { id: string }) => `${issuer.path}/organizations/${id}`;

describe('204', () => {
  test('takes its keys with it by the very next request, and leaves its neighbours', async () => {
    const [tenant, neighbour] = [await issuer.createOrganization(), await issuer.createOrganization()];
    const own = await issuer.createKey({}, tenant.id);
    const others = [await issuer.createKey({}, neighbour.id), await issuer.createKey()];
    const code = async (secret: string) => (await api.post('/v1/keys/verify', { key: secret })).body.code;
    expect(await code(own.secret)).toBe('VALID');

    const answer = await api.delete(pathOf(tenant));
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(await code(own.secret)).toBe('NOT_FOUND');
    expect((await issuer.authorize({ 'X-API-Key': own.secret })).status).toBe(401);
    for (const { secret } of others) expect(await code(secret)).toBe('VALID');
    expect((await api.get(pathOf(tenant))).status).toBe(404);
    expect((await api.get(own.path)).status).toBe(404);
    await expect.poll(() => keysLeft(tenant.id)).toBe(0);
  });

  test('is one event that says what it was', async () => {
    const { id } = await issuer.createOrganization({ name: 'told', external_id: 'told' });
    const { events } = await rows.eventsOf(() => api.delete(pathOf({ id })));
    expect(events).toMatchObject([
      {
        type: 'organization.deleted',
        issuer_id: issuer.id,
        organization_id: id,
        subject_id: id,
        actor: { id: key.id },
        data: { name: 'told', external_id: 'told' },
      },
    ]);
  });

  test('made anew under the same name and external id it inherits nothing', async () => {
    // The attack: a tenant that comes back under its old name and finds keys of the one before it.
    await api.create('/v1/plans', { name: 'gold' });
    const members = { name: 'same', external_id: 'same' };
    const first = await issuer.createOrganization({ ...members, metadata: { secret: 1 }, plan: 'gold' });
    const old = await issuer.createKey({}, first.id);
    const acting = await issuer.createKey();
    const named = async () =>
      (await api.post('/v1/keys/verify', { key: acting.secret, tenant: 'same' })).body.organization?.id ??
      null;
    expect(await named()).toBe(first.id);

    succeeded(await api.delete(pathOf(first)));
    expect(await named()).toBeNull();
    const second = await issuer.createOrganization(members);
    expect(second).toMatchObject({ metadata: {}, plan: null, status: 'active' });
    expect(second.id).not.toBe(first.id);
    expect(await named()).toBe(second.id);
    expect((await api.get(`${pathOf(second)}/api-keys`)).body.data).toEqual([]);
    expect((await api.post('/v1/keys/verify', { key: old.secret })).body.code).toBe('NOT_FOUND');
  });

  test('of 10 at once one deletes it and the others find nothing', async () => {
    const organization = await issuer.createOrganization();
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(10, () => api.delete(pathOf(organization))),
    );
    expect(answers.filter(({ status }) => status === 204).length).toBe(1);
    expect(answers.filter(({ status }) => status === 404).length).toBe(9);
    expect(events.length).toBe(1);
  });

  test('a key made for it at the same moment is gone with it or was never made', async () => {
    const organization = await issuer.createOrganization();
    const results = await Promise.all([
      ...Array.from({ length: 50 }, () => patiently(() => api.post(`${pathOf(organization)}/api-keys`))),
      patiently(() => api.delete(pathOf(organization))),
    ]);
    for (const { status } of results.slice(0, -1)) expect([201, 404]).toContain(status);
    expect(results.at(-1)!.status).toBe(204);
    for (const { status, body } of results.slice(0, -1))
      if (status === 201)
        expect((await api.post('/v1/keys/verify', { key: body.data.secret_plain })).body.code).toBe(
          'NOT_FOUND',
        );
    await expect.poll(() => keysLeft(organization.id)).toBe(0);
  });
});
