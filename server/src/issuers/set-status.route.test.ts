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

describe('200', () => {
  test('suspended, every key of it is refused by the very next request; activated, it is not', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const organization = await issuer.createOrganization();
    const keys = [await issuer.createKey(), await issuer.createKey({}, organization.id)];
    const other = await TestIssuer.create(server, {}, {}, api);
    const others = await other.createKey();
    const decisions = async () => {
      const answers = await Promise.all(
        keys.flatMap(({ secret }) => [
          issuer.authorize({ 'X-API-Key': secret }),
          issuer.authorize({ Authorization: `Bearer ${secret}` }),
        ]),
      );
      return answers.map(({ status }) => status);
    };
    expect(await decisions()).toEqual([200, 200, 200, 200]);

    const answer = await api.post(`${issuer.path}/suspend`);
    expect([answer.status, answer.body.data.status]).toEqual([200, 'suspended']);
    expect(await decisions()).toEqual([403, 403, 403, 403]);
    expect((await api.post('/v1/keys/verify', { key: keys[0]!.secret })).body.code).toBe('ISSUER_SUSPENDED');
    expect((await other.authorize({ 'X-API-Key': others.secret })).status).toBe(200);

    expect((await api.post(`${issuer.path}/activate`)).body.data.status).toBe('active');
    expect(await decisions()).toEqual([200, 200, 200, 200]);
  });

  test.each([
    ['suspend', 'issuer.suspended'],
    ['activate', 'issuer.activated'],
  ])('%s done twice is one change and one event', async (verb, type) => {
    const { id } = await api.create('/v1/issuers', { name: 'x' });
    if (verb === 'activate') succeeded(await api.post(`/v1/issuers/${id}/suspend`));
    const { result: first, events } = await rows.eventsOf(() => api.post(`/v1/issuers/${id}/${verb}`));
    expect(events).toMatchObject([{ type, issuer_id: id, subject_id: id, actor: { id: key.id } }]);
    const before = await rows.snapshot();
    const second = await api.post(`/v1/issuers/${id}/${verb}`);
    expect([second.status, second.text]).toEqual([200, first.text]);
    expect(second.headers.get('ETag')).toBe(first.headers.get('ETag'));
    expect(await rows.snapshot()).toEqual(before);
  });

  test('50 at once suspend it once', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'x' });
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, () => api.post(`/v1/issuers/${id}/suspend`)),
    );
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(events.length).toBe(1);
  });
});
