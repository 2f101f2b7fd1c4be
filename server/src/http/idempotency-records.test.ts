import { createHash } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { createIdempotencyExpiry } from './idempotency-expiry.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);

let made = 0;
const freshKey = () => `key-${++made}`;
const under = (key: string) => ({ 'Idempotency-Key': key });

describe('what is stored', () => {
  test('tells a thief of the database neither the key nor the answer', async () => {
    // The attack: a stolen dump, searched for secrets, and decrypted with whatever else stands in it.
    const idempotencyKey = 'canary-idempotency-key';
    await rows.query('delete from idempotency_records');
    const answer = await api.post('/v1/api-keys', { name: 'canary' }, under(idempotencyKey));
    const [record] = await rows.query<{ id: Buffer; fingerprint: Buffer; response: Buffer }>(
      'select id, fingerprint, response from idempotency_records',
    );
    const stored = Buffer.concat([record!.id, record!.fingerprint, record!.response]);
    for (const text of [idempotencyKey, answer.body.data.secret_plain, answer.body.data.id, 'secret_plain']) {
      for (const encoding of ['utf8', 'base64', 'hex'] as const)
        expect(stored.includes(Buffer.from(text).toString(encoding))).toBe(false);
    }
    // A plain hash of a guessable Idempotency-Key could be found by trying.
    for (const algorithm of ['sha256', 'sha512', 'md5'])
      expect(stored.includes(createHash(algorithm).update(idempotencyKey).digest())).toBe(false);
  });

  test('the same request by another credential leaves a record of another id', async () => {
    await rows.query('delete from idempotency_records');
    const other = api.as(await createKey(api, '/v1/api-keys'));
    for (const caller of [api, other]) await caller.post('/v1/issuers', { name: 'x' }, under('shared'));
    const [ids] = await rows.query<{ count: number }>(
      'select count(distinct id)::int as count from idempotency_records',
    );
    expect(ids!.count).toBe(2);
  });

  test('a record that somebody has changed is not answered from', async () => {
    // The attack: writing into the table so that a replay shows what one likes.
    const headers = under(freshKey());
    await api.post('/v1/issuers', { name: 'x' }, headers);
    await rows.query(
      `update idempotency_records set response = set_byte(response, 20, get_byte(response, 20) # 1)
       where created_at = (select max(created_at) from idempotency_records)`,
    );
    const answer = await api.post('/v1/issuers', { name: 'x' }, headers);
    expect(answer.status).toBe(500);
    expect(answer.headers.has('Idempotent-Replayed')).toBe(false);
  });
});

test('records of a day ago are forgotten, a thousand and more, and no others', async () => {
  await rows.query('delete from idempotency_records');
  await api.post('/v1/issuers', { name: 'kept' }, under(freshKey()));
  await rows.query(
    `insert into idempotency_records (account_id, id, fingerprint, response, expires_at)
     select account_id, int4send(n), '', '', now() - interval '1 second'
     from idempotency_records, generate_series(1, 2500) n`,
  );
  const { database, log } = server.running.services;
  const job = createIdempotencyExpiry(database, log);
  job.wake();
  await expect.poll(() => rows.count('idempotency_records'), { timeout: 20_000 }).toBe(1);
  await job.close();
});
