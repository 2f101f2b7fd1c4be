import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { startTestServer, TestClock } from './harness/server.ts';
import { succeeded, TestIssuer } from './harness/test-issuer.ts';

const run = promisify(execFile);
const guide = await readFile(new URL('../../docs/limits.md', import.meta.url), 'utf8');
const [plan, authorize, useUp, changePlan, keyLimits, costs, quota, operators, ...others] = [
  ...guide.matchAll(/```sh\n(.*?)```/gs),
].map(([, snippet]) => String(snippet));
const shownHeaders = String(/```http\n(.*?)```/s.exec(guide)?.[1]);
const shownLimits = JSON.parse(String(/```json\n(.*?)```/s.exec(guide)?.[1])) as object[];

// When the answers that the guide shows were made.
const clock = new TestClock('2026-11-22T12:00:00.000Z');
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api, key: operator } = server.operator;

test('every snippet of docs/limits.md does what the text beside it says', async () => {
  expect(others).toEqual([]);
  // What the tour of the README leaves behind.
  const issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
  const windows = [
    { name: 'hour', limit: 1000, window: 'hour' },
    { name: 'day', limit: 10_000, window: 'day' },
  ];
  await api.create('/v1/plans', { name: 'gold', limits: { live: windows } });
  const { id: organization } = await issuer.createOrganization({
    external_id: 'tenant_abc123',
    plan: 'gold',
  });
  const key = await issuer.createKey({ restrictions: { scopes: ['invoices:read'] } }, organization);
  const caller = await issuer.createKey({ restrictions: { scopes: ['keys:verify'] } });
  const env = {
    ...process.env,
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    GATELODGE_URL: server.url,
    OPERATOR: `${operator.id}:${operator.secret}`,
    ISSUER: issuer.id,
    ORG: organization as string,
    TENANT_KEY: key.secret,
    API: `${caller.id}:${caller.secret}`,
    TENANT_KEY_ID: key.id,
  };
  const answerOf = async (script: string | undefined) =>
    (await run('bash', ['-euo', 'pipefail', '-c', String(script)], { env })).stdout;
  const verified = async (members: object = {}) => {
    const body = { key: key.secret, tenant: 'tenant_abc123', ...members };
    return succeeded(await api.post('/v1/keys/verify', body));
  };

  await issuer.authorize({ 'x-api-key': key.secret, 'x-tn': 'tenant_abc123' });

  expect(await answerOf(plan)).toContain('"plan":"starter"');
  const first = (await answerOf(authorize)).split('\r\n');
  expect(first[0]).toBe('HTTP/1.1 200 OK');
  expect(first.filter((line) => /^(x-)?ratelimit/i.test(line)).join('\n')).toBe(shownHeaders.trim());
  const lines = (await answerOf(useUp)).trim().split(/\r?\n/);
  const [ok, limited] = ['HTTP/1.1 200 OK', 'HTTP/1.1 429 Too Many Requests'];
  expect(lines).toEqual([ok, ok, ok, ok, limited, 'Retry-After: 60']);

  await answerOf(changePlan);
  expect((await verified({ cost: 0 })).body.limits).toMatchObject([
    { limit: 60, remaining: 55 },
    { remaining: 994 },
  ]);
  expect((await api.delete('/v1/plans/starter')).body.code).toBe('plan_in_use');
  const found = await api.get(`${issuer.path}/organizations?plan=starter`);
  expect(found.body.data).toMatchObject([{ id: organization }]);

  await answerOf(keyLimits);
  const costing = JSON.parse(await answerOf(costs)) as { code: string; limits: object[] };
  expect([costing.code, costing.limits]).toEqual(['VALID', shownLimits]);
  for (const members of [{ cost: 101 }, { limits: [{ name: 'words', cost: 1 }] }]) {
    const mistaken = await api.post('/v1/keys/verify', {
      key: key.secret,
      tenant: 'tenant_abc123',
      ...members,
    });
    expect(mistaken.status).toBe(422);
  }

  await answerOf(quota);
  const credits = async () =>
    ((await verified({ cost: 0 })).body.limits as { name: string; remaining: number }[]).find(
      ({ name }) => name === 'quota',
    )?.remaining;
  const path = key.path;
  expect(await credits()).toBe(500);
  await verified();
  expect(await credits()).toBe(499);
  succeeded(await api.patch(path, { name: 'other' }));
  expect(await credits()).toBe(499);
  succeeded(await api.patch(path, { quota: { refill: { amount: 2000 } } }));
  expect(await credits()).toBe(499);
  succeeded(await api.patch(path, { quota: { credits: 500 } }));
  expect(await credits()).toBe(500);
  clock.advance(9 * 86_400);
  expect(await credits()).toBe(2000);
  succeeded(await api.patch(path, { quota: { refill: null } }));
  expect(await credits()).toBe(500);
  const used = await verified({ limits: [{ name: 'quota', cost: 501 }] });
  expect([used.body.code, used.headers.get('Retry-After')]).toEqual(['QUOTA_EXCEEDED', null]);
  succeeded(await api.patch(path, { quota: null }));
  expect(await credits()).toBeUndefined();

  expect(await answerOf(operators)).toContain('"plan":"business"');
});
