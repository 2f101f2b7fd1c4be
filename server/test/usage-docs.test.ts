import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { startTestServer, TestClock } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

const run = promisify(execFile);
const guide = await readFile(new URL('../../docs/usage.md', import.meta.url), 'utf8');
const snippetsOf = (language: string) =>
  [...guide.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, snippet]) =>
    String(snippet),
  );
const [read, byOrganization, report, csv, statement, rejected, ...others] = snippetsOf('sh');
const [shownUsage, shownReport, shownLine, shownEvent] = snippetsOf('json').map(
  (text) => JSON.parse(text) as Record<string, unknown>,
);

// When the answers that the guide shows were made; the statement is of the month that the shell's clock says.
const clock = new TestClock('2026-11-22T12:00:00.000Z');
const server = await startTestServer({ clock });
const directory = await mkdtemp(join(tmpdir(), 'gatelodge-usage-'));
afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});
const { api, key: operator } = server.operator;

test('every snippet of docs/usage.md does what the text beside it says', async () => {
  expect(others).toEqual([]);
  // What the tour of the README leaves behind: a verification, two questions of a gateway, a plan, and a third question.
  const issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
  await api.create('/v1/plans', { name: 'gold' });
  const { id: organization } = await issuer.createOrganization({
    name: 'Blue Bakery',
    external_id: 'tenant_abc123',
    plan: 'gold',
  });
  const key = await issuer.createKey({ restrictions: { scopes: ['invoices:read'] } }, organization);
  const caller = await issuer.createKey({ restrictions: { scopes: ['keys:verify'] } });
  const asApi = api.as(caller);
  await asApi.post('/v1/keys/verify', { key: key.secret, tenant: 'tenant_abc123' });
  for (const tenant of ['tenant_abc123', 'somebody_else', 'tenant_abc123'])
    await issuer.authorize({ 'x-api-key': key.secret, 'x-tn': tenant });
  const env = {
    ...process.env,
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    GATELODGE_URL: server.url,
    OPERATOR: `${operator.id}:${operator.secret}`,
    ISSUER: issuer.id,
    ORG: organization as string,
    API: `${caller.id}:${caller.secret}`,
    TENANT_KEY_ID: key.id,
  };
  const answerOf = async (script: string | undefined) =>
    (await run('bash', ['-euo', 'pipefail', '-c', String(script)], { env, cwd: directory })).stdout;
  const json = async (script: string | undefined) => JSON.parse(await answerOf(script)) as { data: object[] };

  expect(await json(read)).toEqual(shownUsage);
  const answers = (await answerOf(byOrganization)).split(/(?<=\})(?=\{)/).map((text) => JSON.parse(text));
  expect(answers[0].data).toMatchObject([{ organization_id: organization, total: 4 }]);
  expect(answers[1].data).toMatchObject([
    { code: 'VALID', total: 3 },
    { code: 'TENANT_MISMATCH', total: 1 },
  ]);

  expect(await json(report)).toEqual(shownReport);
  expect(await json(report)).toEqual(shownReport);
  const [told] = (await api.get(`/v1/usage?key_id=${key.id}`)).body.data;
  expect(told).toMatchObject({ reported: 3, errors: 1, error_rate: 0.5, latency_ms: 65 / 3 });

  const [header, line] = (await answerOf(csv)).split('\r\n');
  expect(header).toMatch(/^start,organization_id,organization_name,organization_external_id,total,/);
  expect(line).toMatch(/^2026-11-22T00:00:00.000Z,org_\w+,Blue Bakery,tenant_abc123,4,3,1,1,0.5,3,0,3,/);
  expect(await readFile(join(directory, 'usage.csv'), 'utf8')).toContain(line);

  const lines = (await answerOf(statement!.replace('$(date -u +%Y-%m)', '2026-11'))).split(/(?<=\})(?=\{)/);
  const { data } = JSON.parse(String(lines.at(-1))) as { data: { customer: { type: string } }[] };
  expect(data.map(({ customer }) => customer.type)).toEqual(['account', 'organization']);
  const customer = { ...(shownLine!.customer as object), id: organization };
  expect(data[1]).toEqual({ ...shownLine, customer });

  const [event] = (await json(rejected)).data;
  const whose = { type: 'api_key', id: key.id };
  expect(event).toMatchObject({
    ...shownEvent,
    ...{ actor: { ...whose, ip: null, user_agent: null }, subject: whose },
  });
});
