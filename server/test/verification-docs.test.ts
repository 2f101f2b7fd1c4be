import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

const run = promisify(execFile);
const text = await readFile(new URL('../../docs/verification.md', import.meta.url), 'utf8');
const snippets = [...text.matchAll(/```sh\n(.*?)```/gs)].map(([, snippet]) => String(snippet));

let server: TestServer;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  server = await startTestServer();
  // What the tour of the README leaves behind.
  const issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
  const { id } = await issuer.createOrganization({ external_id: 'tenant_abc123' });
  const key = await issuer.createKey({ restrictions: { scopes: ['invoices:read'] } }, id);
  const caller = await issuer.createKey({ restrictions: { scopes: ['keys:verify'] } });
  env = {
    ...process.env,
    GATELODGE_URL: server.url,
    ISSUER: issuer.id,
    TENANT_KEY: key.secret,
    API: `${caller.id}:${caller.secret}`,
  };
});
afterAll(() => server.close());

async function answerOf(index: number): Promise<string> {
  const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', snippets[index]!], { env });
  return stdout;
}

test('every snippet of docs/verification.md does what the text beside it says', async () => {
  expect(snippets).toHaveLength(5);
  expect(JSON.parse(await answerOf(0))).toMatchObject({ code: 'VALID' });
  expect(JSON.parse(await answerOf(1))).toMatchObject({ code: 'INSUFFICIENT_SCOPE' });
  expect(await answerOf(2)).toMatch(/^HTTP\/1.1 200 OK/);
  const { data } = JSON.parse(await answerOf(3)) as { data: { code: string }[] };
  expect(data.map(({ code }) => code)).toEqual(['VALID', 'TENANT_MISMATCH', 'NOT_FOUND']);
});

test('the explanation that it shows is the one that its snippet is answered', async () => {
  const shown = JSON.parse(/```json\n(.*?)```/s.exec(text)?.[1] ?? 'null') as unknown;
  const answer = JSON.parse(await answerOf(4)) as { code: string; checks: unknown };
  expect(answer.checks).toEqual(shown);
  expect(text).toContain('the array `checks`');
  expect(answer.code).toBe('WRONG_ENVIRONMENT');
});
