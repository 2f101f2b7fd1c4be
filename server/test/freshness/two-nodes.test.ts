import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresProxy } from '../harness/postgres-proxy.ts';
import { isSoak, scaled } from '../harness/scale.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { makeAndWatch, makeKey, type Outcome, prepareChanges } from './changes.ts';

let one: TestServer;
let other: TestServer;
let proxy: PostgresProxy;
const outcomes: Outcome[] = [];

beforeAll(async () => {
  one = await startTestServer();
  proxy = await PostgresProxy.start(one.database.appUrl);
  other = await startTestServer({ nodeOf: one, env: { DATABASE_URL: proxy.url(one.database.appUrl) } });
});
afterAll(async () => {
  proxy.thaw();
  await other.close();
  await proxy.close();
  await one.close();
});

async function endListeningConnections(): Promise<void> {
  const client = new pg.Client({ connectionString: one.database.superuserUrl });
  await client.connect();
  const { rows } = await client.query(
    `select pg_terminate_backend(pid) as is_ended from pg_stat_activity
     where application_name = 'gatelodge changes' and datname = current_database()`,
  );
  await client.end();
  // Both nodes': the one that commits is no more blessed than the other.
  expect(rows).toEqual([{ is_ended: true }, { is_ended: true }]);
}

// Attack: a key is stolen, its owner revokes it (or its tenant, issuer or account is suspended or deleted) on one node,
// and the thief goes on at another one, whose way to Postgres is broken in one way or another.
describe('a change made on one node holds on the other within a second', () => {
  const faults: [string, () => unknown, boolean][] = [
    ['nothing is wrong', () => {}, false],
    ['Postgres ends the connections on which nodes listen', endListeningConnections, false],
    [
      'the connection on which it listens hangs half-open',
      () => proxy.freezePresent('gatelodge changes'),
      false,
    ],
    ['all of its connections hang half-open', () => proxy.freezePresent(), true],
    ['it can listen no more', () => proxy.refuseOnly('gatelodge changes'), false],
  ];
  it.each(Array.from({ length: scaled(1, 10) }, () => faults).flat())(
    'when %s',
    async (_name, breakIt, canBeCutOff) => {
      const changes = await prepareChanges({ one: one.operator.api, other: other.operator.api });
      const found = await makeAndWatch(changes, breakIt);
      proxy.thaw();
      outcomes.push(...found);
      for (const outcome of found) {
        const { name, late, stale } = outcome;
        // Where a machine is so busy that not even a new connection answers in time, the node does not reach Postgres;
        // then, and only then, it may go on with what it knew, and says so.
        expect({ name, late: canBeCutOff ? late.slice(stale) : late }).toEqual({ name, late: [] });
      }
    },
  );

  it('when a key expires, of which no node tells another', async () => {
    const path = `/v1/issuers/${one.demo.issuerId}`;
    const expiresAt = Date.now() + 1_500;
    const key = await makeKey(one.operator.api, path, { expires_at: new Date(expiresAt).toISOString() });
    const asked: { sentAt: number; code: string }[] = [];
    while (asked.at(-1)?.code !== 'EXPIRED') {
      const sentAt = Date.now();
      const answer = await other.operator.api.post('/v1/keys/verify', { key: key.secret });
      asked.push({ sentAt, code: answer.body.code });
    }
    expect(asked[0]?.code).toBe('VALID');
    expect(asked.filter(({ sentAt, code }) => sentAt >= expiresAt && code === 'VALID')).toEqual([]);
  });

  it('was tried with every kind of change', () => {
    expect(new Set(outcomes.map(({ name }) => name)).size).toBe(13);
    if (!isSoak) return;
    const slowest = Math.max(...outcomes.map(({ heldAfterMs }) => heldAfterMs));
    const stale = outcomes.filter((outcome) => outcome.stale > 0).length;
    console.log(
      `SOAK two nodes: ${outcomes.length} changes, slowest held after ${Math.round(slowest)} ms, ` +
        `${stale} by a node that said it did not reach Postgres`,
    );
  });
});
