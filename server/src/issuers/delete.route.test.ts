import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);

describe('204', () => {
  test('takes organizations, keys and twin with it, by the very next request', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const organization = await issuer.createOrganization({ external_id: 'tenant_1' });
    const twin = await api.create(`${issuer.path}/sandbox-issuer`, undefined);
    const ofTwin = new TestIssuer(server.url, api, twin.id);
    const keys = [
      await issuer.createKey(),
      await issuer.createKey({}, organization.id),
      await ofTwin.createKey(),
    ];
    const codes = async () =>
      Promise.all(
        keys.map(async ({ secret }) => (await api.post('/v1/keys/verify', { key: secret })).body.code),
      );
    expect(await codes()).toEqual(['VALID', 'VALID', 'VALID']);
    expect((await issuer.authorize({ 'X-API-Key': keys[0]!.secret })).status).toBe(200);

    const answer = await api.delete(issuer.path);
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(await codes()).toEqual(['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND']);
    expect((await issuer.authorize({ 'X-API-Key': keys[0]!.secret })).status).not.toBe(200);
    for (const path of [issuer.path, ofTwin.path, `${issuer.path}/organizations/${organization.id}`])
      expect((await api.get(path)).status).toBe(404);
    for (const table of ['organizations', 'api_keys', 'key_profiles']) {
      // A job takes the rows away, since there may be a million of them.
      const left = () =>
        rows.query(`select 1 from ${table} where issuer_id = any ($1)`, [[issuer.id, twin.id]]);
      await expect.poll(left, { timeout: 20_000, interval: 20, message: table }).toEqual([]);
    }
  });

  test('is one event of it and one of its twin, and the trails of what they were stay', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'told' });
    const twin = succeeded(await api.post(`/v1/issuers/${id}/sandbox-issuer`)).body.data;
    const { events } = await rows.eventsOf(() => api.delete(`/v1/issuers/${id}`));
    const told = { type: 'issuer.deleted', actor: { id: key.id } };
    expect(events).toMatchObject([
      { ...told, issuer_id: id, subject_id: id, environment: 'live' },
      { ...told, issuer_id: twin.id, subject_id: twin.id, environment: 'sandbox' },
    ]);
    expect(events.map(({ data }) => data)).toEqual([
      { name: 'told' },
      { name: 'told (sandbox)', twin_of: id },
    ]);
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    for (const [reader, issuerId] of [
      [api, id],
      [api, twin.id],
      // Who sees nothing of the live issuer.
      [sandbox, twin.id],
    ] as const) {
      const trail = succeeded(await reader.get(`/v1/events?issuer_id=${issuerId}`)).body.data;
      expect(trail.map(({ type }: { type: string }) => type)).toEqual(['issuer.deleted', 'issuer.created']);
    }
  });

  test('of a twin by itself is one event', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'kept' });
    const twin = succeeded(await api.post(`/v1/issuers/${id}/sandbox-issuer`)).body.data;
    const { events } = await rows.eventsOf(() => api.delete(`/v1/issuers/${twin.id}`));
    expect(events.map(({ issuer_id, data }) => ({ issuer_id, data }))).toEqual([
      { issuer_id: twin.id, data: { name: 'kept (sandbox)' } },
    ]);
  });

  test('an issuer made anew under the same name inherits nothing', async () => {
    const first = await TestIssuer.create(server, { preset: 'otp' }, { name: 'same' }, api);
    await first.createOrganization({ external_id: 'tenant_1' });
    const old = await first.createKey();
    succeeded(await api.delete(first.path));
    const second = await api.create('/v1/issuers', { name: 'same' });
    expect(second.id).not.toBe(first.id);
    expect((await api.get(`/v1/issuers/${second.id}/organizations`)).body.data).toEqual([]);
    expect((await api.get(`/v1/issuers/${second.id}/api-keys`)).body.data).toEqual([]);
    expect((await api.get(`/v1/issuers/${second.id}/key-profile`)).body.data.preset).toBe('standard');
    const reborn = new TestIssuer(server.url, api, second.id);
    expect((await reborn.authorize({ 'X-API-Key': old.secret })).status).toBe(401);
  });

  test('a twin deleted by itself leaves the live issuer, which may have another', async () => {
    const live = await api.create('/v1/issuers', { name: 'x' });
    const first = await api.create(`/v1/issuers/${live.id}/sandbox-issuer`, undefined);
    const before = await api.get(`/v1/issuers/${live.id}`);
    succeeded(await api.delete(`/v1/issuers/${first.id}`));
    const after = await api.get(`/v1/issuers/${live.id}`);
    expect(after.body.data.sandbox_issuer_id).toBeNull();
    expect(after.headers.get('ETag')).not.toBe(before.headers.get('ETag'));
    const second = await api.create(`/v1/issuers/${live.id}/sandbox-issuer`, undefined);
    expect(second.id).not.toBe(first.id);
  });

  test('of 10 at once one deletes it and the others find nothing', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'x' });
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(10, () => api.delete(`/v1/issuers/${id}`)),
    );
    expect(answers.filter(({ status }) => status === 204).length).toBe(1);
    expect(answers.filter(({ status }) => status === 404).length).toBe(9);
    expect(events.length).toBe(1);
  });

  test('with the ETag that was read', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'x' });
    const etag = (await api.get(`/v1/issuers/${id}`)).headers.get('ETag')!;
    succeeded(await api.patch(`/v1/issuers/${id}`, { name: 'y' }));
    expect((await api.delete(`/v1/issuers/${id}`, { 'If-Match': etag })).status).toBe(412);
    const fresh = (await api.get(`/v1/issuers/${id}`)).headers.get('ETag')!;
    expect((await api.delete(`/v1/issuers/${id}`, { 'If-Match': fresh })).status).toBe(204);
  });
});
