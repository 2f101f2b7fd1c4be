import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { retireQuietKeys } from '../src/api-keys/quiet-job.ts';
import { startTestServer, TestClock } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

const run = promisify(execFile);
const guide = await readFile(new URL('../../docs/rotation.md', import.meta.url), 'utf8');
const [rotate, authorize, verify, evidence, revoke, rotateUntilQuiet, ...others] = [
  ...guide.matchAll(/```sh\n(.*?)```/gs),
].map(([, snippet]) => String(snippet));
const shownTraffic = String(/```js\n(.*?)```/s.exec(guide)?.[1]);
const shownHeaders = String(/```http\n(.*?)```/s.exec(guide)?.[1]);

// When the headers that the guide shows were sent.
const clock = new TestClock('2026-11-22T12:00:00.000Z');
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api, key: operator } = server.operator;

test('every snippet of docs/rotation.md does what the text beside it says', async () => {
  expect(others).toEqual([]);
  // What the tour of the README leaves behind.
  const issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
  const { id: organization } = await issuer.createOrganization({ external_id: 'tenant_abc123' });
  const old = await issuer.createKey({ restrictions: { scopes: ['invoices:read'] } }, organization);
  const caller = await issuer.createKey({ restrictions: { scopes: ['keys:verify'] } });
  const env = {
    ...process.env,
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    GATELODGE_URL: server.url,
    OPERATOR: `${operator.id}:${operator.secret}`,
    ISSUER: issuer.id,
    ORG: organization as string,
    TENANT_KEY: old.secret,
    API: `${caller.id}:${caller.secret}`,
  };
  const answerOf = async (script: string, more: object = {}) =>
    (await run('bash', ['-euo', 'pipefail', '-c', script], { env: { ...env, ...more } })).stdout;
  const verified = async () => JSON.parse(await answerOf(verify!)) as object;

  const first = JSON.parse(await answerOf(rotate!)) as { data: { id: string; secret_plain: string } };
  expect(first.data).toMatchObject({ predecessor_id: old.id, secret_plain: expect.any(String) });
  const other = `/v1/issuers/${issuer.id}/api-keys/${old.id}/rotate`;
  for (const path of [`/v1/api-keys/${old.id}/rotate`, other])
    expect((await api.post(path, { grace_seconds: 604_800 })).status).toBe(404);

  const answer = await answerOf(authorize!);
  expect(answer).toMatch(/^HTTP\/1.1 200 OK/);
  const marks = answer.split('\r\n').filter((line) => /^(deprecation|sunset):/i.test(line));
  expect(marks.join('\n').toLowerCase()).toBe(shownHeaders.trim().toLowerCase());

  const endOfGrace = '2026-11-29T12:00:00.000Z';
  expect(await verified()).toMatchObject({
    code: 'VALID',
    warnings: ['rotated'],
    key: { expires_at: endOfGrace },
  });
  const successor = { key: first.data.secret_plain, tenant: 'tenant_abc123' };
  // Beside the two requests with the old key.
  for (let count = 0; count < 6; count++) await api.post('/v1/keys/verify', successor);
  const told = await answerOf(evidence!, { TENANT_KEY_ID: old.id });
  expect(told.trim()).toBe(shownTraffic.trim());
  expect((await api.get(old.path)).body.data).toMatchObject({
    expires_at: null,
    retires_at: endOfGrace,
    successor_id: first.data.id,
  });

  clock.advance(604_800);
  expect(await verified()).toMatchObject({ code: 'EXPIRED' });
  expect((await api.post('/v1/keys/verify', successor)).body.code).toBe('VALID');
});

test('the snippet that lets the old key end once nobody uses it does so', async () => {
  const issuer = await TestIssuer.create(server);
  const { id: organization } = await issuer.createOrganization();
  const old = await issuer.createKey({}, organization);
  await run('bash', ['-euo', 'pipefail', '-c', rotateUntilQuiet!], {
    env: {
      ...process.env,
      GATELODGE_URL: server.url,
      OPERATOR: `${operator.id}:${operator.secret}`,
      ISSUER: issuer.id,
      ORG: organization as string,
      TENANT_KEY_ID: old.id,
    },
  });
  clock.advance(86_400 + 60);
  const { log, database } = server.running.services;
  await retireQuietKeys(database, log, clock.now());
  const [event] = (await api.get(`/v1/events?type=api-key.retired&subject=${old.id}`)).body.data;
  expect(event.data).toMatchObject({ reason: 'quiet', last_used_at: null });
  expect((await api.get(old.path)).body.data).toMatchObject({
    status: 'expired',
    retires_at: clock.now().toISOString(),
  });
});

test('the snippet that ends the grace early does so, and the successor lives on', async () => {
  const issuer = await TestIssuer.create(server);
  const { id: organization } = await issuer.createOrganization();
  const old = await issuer.createKey({}, organization);
  const { secret_plain: next } = await api.create(`${old.path}/rotate`, { grace_seconds: 604_800 });
  await run('bash', ['-euo', 'pipefail', '-c', revoke!], {
    env: {
      ...process.env,
      GATELODGE_URL: server.url,
      OPERATOR: `${operator.id}:${operator.secret}`,
      ISSUER: issuer.id,
      ORG: organization as string,
      TENANT_KEY_ID: old.id,
    },
  });
  const codes = [old.secret, next].map(
    async (key) => (await api.post('/v1/keys/verify', { key })).body.code as string,
  );
  expect(await Promise.all(codes)).toEqual(['REVOKED', 'VALID']);
});
