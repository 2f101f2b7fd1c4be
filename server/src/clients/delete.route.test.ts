import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const path = `${issuer.path}/clients`;
const callback = 'https://app.example.com/callback';

async function newClient(members: object = {}, openid: object = {}) {
  const settings = { openid: { redirect_uris: [callback], ...openid } };
  const client = await api.create(path, { name: 'App', settings, ...members });
  return { ...client, path: `${path}/${client.id}` };
}

describe('deleting', () => {
  /** A session of the built-in client handed to another: this build begins none of its own yet. */
  async function sessionOf(clientId: string): Promise<string> {
    const user = await api.create(`${issuer.path}/users`, {
      username: `u${crypto.randomUUID()}@example.com`,
    });
    const { session_id: id } = await signIn(server, issuer.id, user.id);
    await rows.query('update sessions set client_id = $1 where id = $2', [clientId, id]);
    return id;
  }
  const statusOf = async (session: string) =>
    (await api.get(`${issuer.path}/sessions/${session}`)).body.data.end_reason;

  test('hides the client and its secrets at once; its sessions end, those of others do not', async () => {
    const [client, other] = [await newClient(), await newClient()];
    const sessions = [await sessionOf(client.id), await sessionOf(client.id)];
    const others = await sessionOf(other.id);
    const answer = await api.delete(client.path);
    expect([answer.status, answer.text]).toEqual([204, '']);
    for (const gone of [
      await api.get(client.path),
      await api.patch(client.path, { name: 'x' }),
      await api.post(`${client.path}/rotate-secret`, {}),
      await api.post(`${client.path}/activate`),
      await api.delete(client.path),
    ])
      expect(gone.status).toBe(404);
    expect((await api.get(path)).text).not.toContain(client.id);
    expect(await rows.query('select from client_secrets where client_id = $1', [client.id])).toEqual([]);
    for (const session of sessions)
      await expect.poll(() => statusOf(session), { timeout: 10_000 }).toBe('client_deleted');
    const rowsOf = () => rows.query('select from clients where id = $1', [client.id]);
    await expect.poll(rowsOf, { timeout: 10_000 }).toEqual([]);
    expect(await statusOf(others)).toBeNull();
    const events = await rows.query(
      `select type, actor->>'id' as actor, data from events where subject_id = any ($1) and type like '%d'
         and type <> 'session.created' and type <> 'client.created' order by id`,
      [[client.id, ...sessions]],
    );
    expect(events).toMatchObject([
      { type: 'client.deleted', actor: key.id, data: { name: 'App' } },
      ...Array(2).fill({
        type: 'session.terminated',
        actor: 'client-deletion',
        data: { reason: 'client_deleted' },
      }),
    ]);
  });

  test('ends more sessions than one step does', async () => {
    const client = await newClient();
    const session = await sessionOf(client.id);
    await rows.query(
      `insert into sessions (id, account_id, issuer_id, user_id, client_id, amr, auth_time, created_at, last_used_at,
         expires_at, refreshes_since)
       select 's_' || $1 || n, account_id, issuer_id, user_id, client_id, amr, auth_time, created_at, last_used_at,
         expires_at, refreshes_since from sessions, generate_series(1, 2500) n where id = $2`,
      [client.id, session],
    );
    succeeded(await api.delete(client.path));
    const left = () =>
      rows.query(`select from sessions where client_id = $1 and ended_at is null`, [client.id]);
    await expect.poll(left, { timeout: 20_000, interval: 50 }).toEqual([]);
  });

  test('an issuer and an account that are deleted take their clients along', async () => {
    const customer = await createCustomer(server);
    const doomed = await TestIssuer.create(server, {}, {}, customer.api);
    const sibling = await TestIssuer.create(server, {}, {}, customer.api);
    const settings = { openid: { redirect_uris: [callback] } };
    for (const { path: at } of [doomed, sibling])
      await customer.api.create(`${at}/clients`, { name: 'App', settings });
    const left = (column: string, id: string) => async () =>
      rows.query(
        `select ${column} from clients where ${column} = $1 union all
         select ${column} from client_secrets where ${column} = $1`,
        [id],
      );
    succeeded(await customer.api.delete(doomed.path));
    expect((await customer.api.get(`${doomed.path}/clients`)).status).toBe(404);
    await expect.poll(left('issuer_id', doomed.id), { timeout: 20_000 }).toEqual([]);
    const { name } = (await customer.api.get('/v1/account')).body.data;
    succeeded(
      await server.operator.api.delete(
        `/v1/accounts/${customer.id}?force=true&name=${encodeURIComponent(name)}`,
      ),
    );
    await expect.poll(left('account_id', customer.id), { timeout: 20_000 }).toEqual([]);
  });
});
