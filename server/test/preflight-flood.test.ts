import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { idPrefixes, newId } from '../src/ids/ids.ts';
import { type RawAnswer, send } from './harness/raw-http.ts';
import { Rows } from './harness/rows.ts';
import { scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

/*
 * Attack: without any key, send preflights for an issuer (or for made-up ones) as fast as the wire takes them. Each of
 * them may cost a look-up, the dearer the more keys somebody has made; when these take all connections to Postgres,
 * management and verification stand still for everybody.
 */

let server: TestServer;
let rows: Rows;
beforeAll(async () => {
  server = await startTestServer();
  rows = await Rows.open(server.database);
});
afterAll(async () => {
  await rows.close();
  await server.close();
});

function preflight(path: string, origin: string): Promise<RawAnswer> {
  return send(server.url + path, {
    method: 'OPTIONS',
    headers: { Origin: origin, 'Access-Control-Request-Method': 'GET' },
  });
}

describe('the look-up of an origin', () => {
  const keys = scaled(3_000, 75_000);
  const seed = (issuer: TestIssuer, columns: string) =>
    rows.query(
      `insert into api_keys (id, account_id, issuer_id, name, kind, environment, hint, digest, digest_generation,
         check_generation, scopes, created_by, origins, expires_at, status)
       select 'key_' || substr(md5($1 || n), 1, 25), $2, $1, 'n', 'secret', 'live', 'h', sha256(($1 || n)::bytea), 1, 1, '{}',
         '{}', ${columns} from generate_series(1, ${keys}) n`,
      [issuer.id, server.operator.accountId],
    );
  /** Rows that this session has read, in order of the table and by an index; counted up until they are sent off. */
  async function read() {
    const [counted] = await rows.query<{ inOrder: number; fetched: number }>(
      `select coalesce(sum(seq_tup_read), 0)::int as "inOrder", coalesce(sum(idx_tup_fetch), 0)::int as fetched
       from pg_stat_xact_user_tables where relname in ('api_keys', 'api_key_origins')`,
    );
    return counted!;
  }

  async function costOf(issuer: TestIssuer, origins: string[]) {
    await rows.query('begin');
    const before = await read();
    const [answer] = await rows.query<{ may_use: boolean }>(
      'select lookup_origin_of_issuer($1, $2) as may_use',
      [issuer.id, origins],
    );
    const after = await read();
    await rows.query('commit');
    return {
      mayUse: answer!.may_use,
      inOrder: after.inOrder - before.inOrder,
      isCheap: after.fetched - before.fetched <= 4,
    };
  }

  test('takes a few steps in an index, however many keys the issuer, or another one, has', async () => {
    const local = await TestIssuer.create(server);
    const expired = await TestIssuer.create(server);
    const revoked = await TestIssuer.create(server);
    const open = await TestIssuer.create(server);
    const victim = await TestIssuer.create(server);
    await seed(local, `array['http://localhost:*'], null, 'active'`);
    await seed(expired, `'{}', now() - interval '1 day', 'active'`);
    await seed(revoked, `'{}', null, 'revoked'`);
    await seed(open, `'{}', null, 'active'`);
    await victim.createKey({ restrictions: { origins: ['https://app.victim.example'] } });
    const cheap = { inOrder: 0, isCheap: true };
    for (const analyzed of [false, true]) {
      if (analyzed) await rows.query('analyze api_keys, api_key_origins');
      const localhost = ['http://localhost:3000', 'http://localhost:*'];
      const elsewhere = ['https://nobody.example'];
      expect(await costOf(local, localhost)).toEqual({ mayUse: true, ...cheap });
      expect(await costOf(victim, localhost)).toEqual({ mayUse: false, ...cheap });
      expect(await costOf(victim, ['https://app.victim.example'])).toEqual({ mayUse: true, ...cheap });
      for (const issuer of [local, expired, revoked, victim])
        expect(await costOf(issuer, elsewhere)).toEqual({ mayUse: false, ...cheap });
      expect(await costOf(open, elsewhere)).toEqual({ mayUse: true, ...cheap });
    }
  });
});

describe('the list of origins that it reads', () => {
  const expected = `select k.id as key_id, o.origin, coalesce(k.expires_at, 'infinity')::text as expires_at
    from api_keys k, unnest(k.origins) o (origin)
    where k.issuer_id = $1 and k.status = 'active' and k.browsers = 'allow' order by 1, 2`;
  const kept = `select key_id, origin, expires_at::text as expires_at from api_key_origins
    where issuer_id = $1 order by 1, 2`;

  test('follows the keys through every change of them', async () => {
    const { api } = server.operator;
    const issuer = await TestIssuer.create(server);
    const tenant = await issuer.createOrganization();
    const origins = ['https://one.example', 'https://two.example'];
    const own = await issuer.createKey({ restrictions: { origins } });
    const tenants = await issuer.createKey({ restrictions: { origins } }, tenant.id);
    const counts: number[] = [];
    const check = async () => {
      const found = await rows.query(kept, [issuer.id]);
      expect(found).toEqual(await rows.query(expected, [issuer.id]));
      counts.push(found.length);
    };
    await check();
    for (const body of [
      { name: 'renamed' },
      { restrictions: { origins: ['https://three.example'] } },
      { restrictions: { browsers: 'deny' } },
      { restrictions: { browsers: 'allow' } },
      { expires_at: '2999-01-01T00:00:00Z' },
      { restrictions: { origins: [] } },
      { restrictions: { origins } },
    ]) {
      expect((await api.patch(own.path, body)).status).toBe(200);
      await check();
    }
    for (const action of ['disable', 'enable', 'revoke']) {
      expect((await api.post(`${own.path}/${action}`)).status).toBe(200);
      await check();
    }
    expect((await api.delete(tenants.path)).status).toBe(204);
    await check();
    await issuer.createKey({ restrictions: { origins } }, tenant.id);
    await check();
    expect(counts).toEqual([4, 4, 3, 2, 3, 3, 2, 4, 2, 4, 2, 0, 2]);
    expect((await api.delete(issuer.path)).status).toBe(204);
    // Its keys go in the background.
    await expect.poll(() => rows.query(kept, [issuer.id]), { timeout: 20_000 }).toEqual([]);
  });
});

describe('a flood', () => {
  /** Holds each look-up for a moment, and tells how many there were at once at the most. */
  async function mostAtOnce(work: () => Promise<void>): Promise<number> {
    const { lookupPool } = server.running.services;
    const ask = lookupPool.query;
    let [running, most] = [0, 0];
    lookupPool.query = (async (...args: unknown[]) => {
      most = Math.max(most, ++running);
      try {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return await Reflect.apply(ask, lookupPool, args);
      } finally {
        running--;
      }
    }) as never;
    await work().finally(() => {
      lookupPool.query = ask;
    });
    return most;
  }

  async function flood(pathAt: (index: number) => string, status: number): Promise<void> {
    const { pool } = server.running.services;
    const key = await TestIssuer.create(server).then((issuer) => issuer.createKey());
    const most = await mostAtOnce(async () => {
      const answers = Array.from({ length: 400 }, (_, index) =>
        preflight(pathAt(index), `https://nobody-${index}.example`),
      );
      await Promise.race(answers);
      // Those who have a key are served meanwhile, and what strangers ask takes none of management's connections.
      const verified = await server.operator.api.post('/v1/keys/verify', { key: key.secret });
      expect(verified.body.code).toBe('VALID');
      expect((await server.operator.api.get('/v1/issuers')).status).toBe(200);
      expect(pool.waitingCount).toBe(0);
      const told = await Promise.all(answers);
      const turnedAway = told.filter((answer) => answer.status !== status);
      for (const answer of turnedAway)
        expect([answer.status, answer.body.code, answer.headers['retry-after']]).toEqual([
          503,
          'unavailable',
          '1',
        ]);
      expect(turnedAway.length).toBeLessThan(told.length);
    });
    // Two of strangers, one of the key that is verified.
    expect(most).toBeLessThanOrEqual(3);
  }

  test('for one issuer by ever other origins leaves the others room', async () => {
    const issuer = await TestIssuer.create(server);
    await issuer.createKey({ restrictions: { origins: ['https://app.example'] } });
    await flood(() => `/v1/authorize/${issuer.id}`, 204);
  });

  test('for issuers that do not exist leaves the others room', async () => {
    await flood(() => `/v1/authorize/${newId(idPrefixes.issuer)}`, 204);
  });
});
