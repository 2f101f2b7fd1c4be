import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, expect, test, vi } from 'vitest';
import { startTestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

const run = promisify(execFile);
const text = await readFile(new URL('../../docs/leaked-keys.md', import.meta.url), 'utf8');
const snippetsIn = (language: string) =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, snippet]) =>
    String(snippet),
  );
const [setDelay, report] = snippetsIn('sh');
const [exposed, reported, accepted] = snippetsIn('json').map((snippet) => JSON.parse(snippet) as object);

const server = await startTestServer();
afterAll(() => server.close());
const { api, key } = server.operator;

async function answerOf(script: string): Promise<unknown> {
  const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], {
    env: {
      ...process.env,
      GATELODGE_URL: server.url,
      OPERATOR: `${key.id}:${key.secret}`,
    },
  });
  return JSON.parse(stdout) as unknown;
}

async function dataOf(type: string, id: string): Promise<object> {
  return vi.waitFor(async () => {
    const { body } = await api.get(`/v1/events?type=${type}`);
    expect(body.data).toMatchObject([{ subject: { id } }]);
    return body.data[0].data as object;
  });
}

test('every snippet of docs/leaked-keys.md does what the text beside it says', async () => {
  const issuer = await TestIssuer.create(server);
  const { id, secret } = await issuer.createKey();
  await api.post('/v1/keys/verify', { key: secret, origin: 'https://shop.example' });
  expect(await dataOf('api-key.exposed', id)).toEqual(exposed);

  expect(await answerOf(report!)).toEqual(accepted);
  const ofExample = 'gl_live_sk_EXAMPLEexampleEXAMPLEexampleEXAMPLEexample0011';
  expect(report).toContain(ofExample);
  expect(await answerOf(report!.replace(ofExample, secret))).toEqual(accepted);
  const told = await dataOf('api-key.leak_reported', id);
  expect(told).toEqual({ ...reported, revokes_at: expect.any(String) });
  expect(await dataOf('api-key.revoked', id)).toEqual({ reason: 'leak_reported' });

  expect(await answerOf(setDelay!)).toMatchObject({ data: { leak_revocation_delay_seconds: 3600 } });
});

test('a scheduled revocation shows in the event only, as the text says', async () => {
  await api.patch('/v1/account', { leak_revocation_delay_seconds: 3600 });
  const issuer = await TestIssuer.create(server);
  const scheduled = await issuer.createKey();
  // When a key was last used is told a while after its use.
  const look = async () => [
    { ...(await api.get(scheduled.path)).body.data, last_used_at: null },
    { ...(await api.post('/v1/keys/verify', { key: scheduled.secret })).body, request_id: null },
  ];
  const before = await look();
  await api.post('/v1/keys/report-leak', { secret: scheduled.secret, url: 'https://example.com/pastes/42' });
  await vi.waitFor(async () => {
    const { body } = await api.get('/v1/events?type=api-key.leak_reported&limit=1');
    expect(body.data).toMatchObject([{ subject: { id: scheduled.id }, data: { action: 'scheduled' } }]);
  });
  expect(await look()).toEqual(before);
});

test('the pattern that it gives scanners finds the keys of the standard profile', async () => {
  const pattern = new RegExp(`^${/match `([^`]+)`/.exec(text)![1]}$`);
  const issuer = await TestIssuer.create(server);
  for (const body of [{}, { kind: 'publishable' }, { environment: 'sandbox' }])
    expect((await issuer.createKey(body)).secret).toMatch(pattern);
});
