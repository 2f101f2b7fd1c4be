import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const { clients } = server.running.services;

async function newClient(openid: object = {}, rest: object = {}) {
  const client = await api.create(`${issuer.path}/clients`, {
    name: 'App',
    ...rest,
    settings: { openid: { redirect_uris: ['https://app.example.com/callback'], ...openid } },
  });
  return { ...client, path: `${issuer.path}/clients/${client.id}` };
}

/** Which of the secrets the client's record takes. */
async function taken(clientId: string, secrets: readonly string[]): Promise<boolean[]> {
  const record = await clients.find(issuer.id, clientId);
  return secrets.map((secret) => clients.verifySecret(record!, secret));
}

describe('201', () => {
  test('shows a new secret; the old one works until its grace ends, a day unless given', async () => {
    const client = await newClient();
    expect(await taken(client.id, [client.secret, 'x', ''])).toEqual([true, false, false]);
    const answer = await api.post(`${client.path}/rotate-secret`, {});
    const { secret, secrets } = answer.body.data;
    expect(answer.status).toBe(201);
    const endsAt = new Date(clock.nowMs() + 86_400_000).toISOString();
    expect(secrets).toMatchObject([{ expires_at: null }, { id: client.secrets[0].id, expires_at: endsAt }]);
    const read = await api.get(client.path);
    expect(read.body.data.secrets).toEqual(secrets);
    expect(read.text).not.toContain(secret);
    expect(read.headers.get('ETag')).toBe(answer.headers.get('ETag'));
    expect(await taken(client.id, [secret, client.secret])).toEqual([true, true]);
    clock.advance(86_399);
    expect(await taken(client.id, [secret, client.secret])).toEqual([true, true]);
    clock.advance(1);
    expect(await taken(client.id, [secret, client.secret])).toEqual([true, false]);
    expect((await api.get(client.path)).body.data.secrets).toHaveLength(1);
  });

  test('grace 0 ends the old one by the next request', async () => {
    const client = await newClient();
    const { secret, secrets } = await api.create(`${client.path}/rotate-secret`, { grace_seconds: 0 });
    expect(secrets).toHaveLength(1);
    expect(await taken(client.id, [secret, client.secret])).toEqual([true, false]);
  });

  test('two work at the most: rotating again ends the eldest, whatever its grace', async () => {
    const client = await newClient();
    const shown: string[] = [client.secret];
    for (let times = 0; times < 3; times++)
      shown.push((await api.create(`${client.path}/rotate-secret`, { grace_seconds: 2_592_000 })).secret);
    expect(await taken(client.id, shown)).toEqual([false, false, true, true]);
    const [row] = await rows.query('select count(*)::int from client_secrets where client_id = $1', [
      client.id,
    ]);
    expect(row).toEqual({ count: 2 });
  });

  test('a secret is of its client alone', async () => {
    // Attack: whoever can write the table copies the digest of a secret that he knows into another client's row.
    const [mine, other] = [await newClient(), await newClient()];
    expect(await taken(other.id, [mine.secret])).toEqual([false]);
    await rows.query(
      `update client_secrets set digest = (select digest from client_secrets where client_id = $1)
       where client_id = $2`,
      [mine.id, other.id],
    );
    succeeded(await api.patch(other.path, { name: 'Read anew' }));
    expect(await taken(other.id, [mine.secret])).toEqual([false]);
  });

  // Attack: as many secrets as there are callers who rotate at once.
  test('of 50 at once each is shown one; one is left without an end, and two at the most work', async () => {
    const client = await newClient();
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, () => api.post(`${client.path}/rotate-secret`, {})),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(201));
    const shown = answers.map(({ body }) => body.data.secret as string);
    expect(new Set(shown).size).toBe(50);
    expect(events.map(({ type }) => type)).toEqual(Array(50).fill('client.secret_rotated'));
    const left = await rows.query<{ expires_at: Date | null }>(
      'select expires_at from client_secrets where client_id = $1',
      [client.id],
    );
    expect(left.filter(({ expires_at }) => expires_at === null)).toHaveLength(1);
    expect(left).toHaveLength(2);
    const working = await taken(client.id, [client.secret, ...shown]);
    expect(working.filter(Boolean)).toHaveLength(2);
  });

  test('is one event, without the secret', async () => {
    const client = await newClient();
    const { result, events } = await rows.eventsOf(() =>
      api.create(`${client.path}/rotate-secret`, { grace_seconds: 60 }),
    );
    expect(events).toMatchObject([
      {
        type: 'client.secret_rotated',
        subject_type: 'client',
        subject_id: client.id,
        actor: { id: key.id },
        data: { secret_id: result.secrets[0].id, retired_secret_id: client.secrets[0].id, grace_seconds: 60 },
      },
    ]);
    expect(JSON.stringify(events)).not.toContain(result.secret);
  });

  test('is shown again under its Idempotency-Key, also where the version was named', async () => {
    const client = await newClient();
    const etag = (await api.get(client.path)).headers.get('ETag')!;
    const headers = { 'Idempotency-Key': randomUUID(), 'If-Match': etag };
    const first = await api.post(`${client.path}/rotate-secret`, {}, headers);
    const again = await api.post(`${client.path}/rotate-secret`, {}, headers);
    expect([again.status, again.text]).toEqual([201, first.text]);
    const renewed = { ...headers, 'Idempotency-Key': randomUUID() };
    expect((await api.post(`${client.path}/rotate-secret`, {}, renewed)).status).toBe(412);
  });
});

test('409 for a public client, which has no secret', async () => {
  const client = await newClient({ application_type: 'spa' });
  expect(await taken(client.id, ['', 'gl_cs_'])).toEqual([false, false]);
  const answer = await api.post(`${client.path}/rotate-secret`, {});
  expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
});

test.each([-1, 2_592_001, 1.5, '60', null])('422 for a grace of %j', async (grace_seconds) => {
  const client = await newClient();
  const answer = await api.post(`${client.path}/rotate-secret`, { grace_seconds });
  expect([answer.status, answer.body.errors?.[0].path]).toEqual([422, 'grace_seconds']);
});

// Attack on ourselves: retire a generation under which secrets in use were made, and lock their clients out.
test('secrets that work keep their generation from being retired, and none is made under one that is', async () => {
  const client = await newClient();
  const needing = async () =>
    (await rows.query(`select lookup_keys_of_generation('client-secret', 1)::int as count`))[0]!.count;
  const before = Number(await needing());
  // By the database's clock, which is not the test's.
  await rows.query(`update client_secrets set expires_at = now() + interval '1 hour' where client_id = $1`, [
    client.id,
  ]);
  expect(await needing()).toBe(before);
  await rows.query(`update client_secrets set expires_at = now() where client_id = $1`, [client.id]);
  expect(await needing()).toBe(before - 1);
  const orphan = rows.query(
    `insert into client_secrets (id, account_id, issuer_id, client_id, digest, digest_generation, hint, created_at)
     select 'csec_x', account_id, issuer_id, id, 'x', 2, 'x', now() from clients where id = $1`,
    [client.id],
  );
  await expect(orphan).rejects.toThrow('retired generation');
});
