import { afterAll, describe, expect, test } from 'vitest';
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
const path = `${issuer.path}/users`;

describe('204', () => {
  test('is gone by the next request, its username free, with one event that tells no address', async () => {
    const members = {
      username: 'gone@example.com',
      profile: { first_name: 'Gone' },
      metadata: { of: 'old' },
    };
    const old = await api.create(path, members);
    succeeded(await api.post(`${path}/${old.id}/suspend`));
    const { result: answer, events } = await rows.eventsOf(() => api.delete(`${path}/${old.id}`));
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(events).toMatchObject([
      {
        type: 'user.deleted',
        subject_id: old.id,
        actor: { id: key.id },
        data: { username_type: 'email' },
      },
    ]);
    expect(JSON.stringify(events)).not.toContain('@');
    expect((await api.get(`${path}/${old.id}`)).status).toBe(404);
    expect((await api.delete(`${path}/${old.id}`)).status).toBe(404);
    // Attack: whoever comes by the address later finds what its last owner had.
    const renewed = await api.create(path, { username: 'gone@example.com' });
    expect(renewed.id).not.toBe(old.id);
    expect(renewed).toMatchObject({ status: 'active', profile: {}, metadata: {} });
  });

  test('an issuer that is deleted takes its users and login settings along, in steps', async () => {
    const doomed = await TestIssuer.create(server, {}, {}, api);
    await rows.query(
      `insert into users (id, account_id, issuer_id, username_type, username, username_key)
       select 'usr_' || $1 || n, account_id, $1, 'unique-name', 'u' || n, 'u' || n
       from issuers, generate_series(1, 2500) n where id = $1`,
      [doomed.id],
    );
    succeeded(await api.patch(`${doomed.path}/login-settings`, { sign_up: false }));
    succeeded(await api.delete(doomed.path));
    for (const each of ['users', 'login-settings'])
      expect((await api.get(`${doomed.path}/${each}`)).status).toBe(404);
    const left = async () =>
      (
        await rows.query(
          `select (select count(*)::int from users where issuer_id = $1) as users,
             (select count(*)::int from login_settings where issuer_id = $1) as settings`,
          [doomed.id],
        )
      )[0];
    await expect.poll(left, { timeout: 20_000, interval: 20 }).toEqual({ users: 0, settings: 0 });
  });
});
