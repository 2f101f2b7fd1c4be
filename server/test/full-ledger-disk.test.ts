import { expect, test } from 'vitest';
import { LedgerUnavailableError } from '../src/ledger/ledger-unavailable.ts';
import type { LedgerRecord } from '../src/ledger/record.ts';
import { ApiClient } from './harness/api-client.ts';
import { waitFor } from './harness/process.ts';
import { send } from './harness/raw-http.ts';
import { Rows } from './harness/rows.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { canMount, SmallDisk } from './harness/small-disk.ts';
import { createKey } from './harness/test-issuer.ts';

const metricsToken = 'metrics-token-of-the-tests-0123456789';

async function gauge(node: TestServer, name: string): Promise<number> {
  const { text } = await send(`${node.url}/metrics`, {
    headers: { Authorization: `Bearer ${metricsToken}` },
  });
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** Writes what the segment has taken from the disk in advance, until no more is to be had. */
async function useUp({ running, operator }: TestServer): Promise<void> {
  const { ledger, clock } = running.services;
  const charge = { name: 'x'.repeat(64), period: 'quota', windowStart: 1, cost: 2 } as const;
  const record: LedgerRecord = {
    timeMs: clock.nowMs(),
    keyId: operator.key.id,
    lineageId: operator.key.id,
    accountId: operator.accountId,
    issuerId: null,
    organizationId: null,
    environment: 'live',
    outcome: 'REVOKED',
    cost: 1,
    entrance: 'verify',
    fingerprint: null,
    charges: Array.from({ length: 40 }, () => ({ ...charge, level: { kind: 'key' } })),
  };
  for (let written = 0; written < 5_000; written++) {
    const error = await ledger.append(record).then(
      () => null,
      (reason: unknown) => reason,
    );
    if (error === null) continue;
    expect(error).toBeInstanceOf(LedgerUnavailableError);
    return;
  }
  throw new Error('the disk never ran full');
}

// The attack: fill the disk of the ledger, so that requests pass uncounted and unlimited, or so that nobody notices that
// none passes.
test.skipIf(!canMount)(
  'a node whose ledger’s disk is full says so, refuses keys, counts nothing for it, and goes on by itself',
  async () => {
    const server = await startTestServer();
    await using disk = await SmallDisk.mount('12m');
    const node = await startTestServer({ nodeOf: server, env: { GATELODGE_DATA_DIR: disk.path } });
    const rows = await Rows.open(server.database);
    const api = new ApiClient(node.url, server.operator.key);
    const key = await createKey(api, `/v1/issuers/${server.demo.issuerId}/api-keys`, {
      limits: [{ name: 'day', limit: 10, window: 'day' }],
    });
    const verify = () => api.post('/v1/keys/verify', { key: key.secret });
    const counted = async () => {
      await node.running.services.fold.catchUp();
      const found = await rows.query<{ count: number }>(
        `select count::int from usage_buckets where subject_id = $1 and grain = 'day'`,
        [key.id],
      );
      return found[0]?.count ?? 0;
    };
    expect((await verify()).body).toMatchObject({ code: 'VALID', limits: [{ remaining: 9 }] });
    expect(await gauge(node, 'gatelodge_ledger_is_writable')).toBe(1);

    await disk.fill();
    await useUp(node);
    for (let again = 0; again < 3; again++)
      expect(await verify()).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    expect(await send(`${node.url}/readyz`)).toMatchObject({
      status: 503,
      body: { status: 'not_ready', checks: { ledger: 'refusing', database: 'ok' } },
    });
    expect(await gauge(node, 'gatelodge_ledger_is_writable')).toBe(0);
    expect(
      await gauge(node, String.raw`gatelodge_ledger_records_total\{outcome="refused"\}`),
    ).toBeGreaterThan(0);
    expect(await counted()).toBe(1);
    // Who has to mend it gets in.
    expect((await api.get('/v1/account')).status).toBe(200);

    await disk.makeRoom();
    await waitFor(async () => (await send(`${node.url}/readyz`)).status === 200 || null);
    expect((await verify()).body).toMatchObject({ code: 'VALID', limits: [{ remaining: 8 }] });
    expect(await counted()).toBe(2);
    expect(node.running.services.findings.list()).toEqual([]);
    await rows.close();
    await node.close();
    await server.close();
  },
);
