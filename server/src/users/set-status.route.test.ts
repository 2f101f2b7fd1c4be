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
let made = 0;
const create = async () => {
  const { id } = await api.create(`${issuer.path}/users`, { username: `user-${++made}@example.com` });
  return { id, path: `${issuer.path}/users/${id}` };
};

describe('200', () => {
  test.each([
    ['suspend', 'suspended', 'user.suspended'],
    ['activate', 'active', 'user.activated'],
  ])('%s done twice is one change and one event', async (verb, status, type) => {
    const { id, path } = await create();
    if (verb === 'activate') succeeded(await api.post(`${path}/suspend`));
    const { result: first, events } = await rows.eventsOf(() => api.post(`${path}/${verb}`));
    expect([first.status, first.body.data.status]).toEqual([200, status]);
    expect(events).toMatchObject([{ type, issuer_id: issuer.id, subject_id: id, actor: { id: key.id } }]);
    const before = await rows.snapshot();
    const second = await api.post(`${path}/${verb}`);
    expect([second.status, second.text]).toEqual([200, first.text]);
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
