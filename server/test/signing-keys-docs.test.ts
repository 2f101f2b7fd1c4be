import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import jose from 'jose/package.json' with { type: 'json' };
import { afterAll, beforeAll, expect, test } from 'vitest';
import { issuerUrl } from '../src/issuers/issuer-url.ts';
import { freePort } from './harness/process.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

const run = promisify(execFile);
const text = await readFile(new URL('../../docs/signing-keys.md', import.meta.url), 'utf8');
const [installation, ...snippets] = [...text.matchAll(/```sh\n(.*?)```/gs)]
  .map(([, snippet]) => String(snippet))
  .sort((a, b) => Number(b.startsWith('npm install')) - Number(a.startsWith('npm install')));
const program = String(/```js\n(.*?)```/s.exec(text)?.[1]);

let server: TestServer;
let issuer: TestIssuer;
let iss: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  const port = String(await freePort());
  const url = `http://127.0.0.1:${port}`;
  server = await startTestServer({ env: { GATELODGE_PORT: port, GATELODGE_PUBLIC_URL: url } });
  issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
  iss = issuerUrl(server.running.services.settings, issuer.id);
  const { id, secret } = server.operator.key;
  env = {
    ...process.env,
    GATELODGE_URL: url,
    ISSUER: issuer.id,
    OPERATOR: `${id}:${secret}`,
  };
});
afterAll(() => server.close());

async function answerOf(index: number) {
  const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', snippets[index]!], { env });
  return JSON.parse(stdout);
}

test('every snippet of docs/signing-keys.md does what the text beside it says', async () => {
  expect(installation).toBe(`npm install jose@${jose.version}\n`);
  expect(snippets).toHaveLength(4);
  const shown = JSON.parse(/```json\n(.*?)```/s.exec(text)?.[1] ?? 'null') as Record<string, unknown>;
  const discovery = await answerOf(0);
  expect(discovery).toMatchObject({ ...shown, issuer: iss, jwks_uri: `${iss}/jwks.json` });
  const { keys } = await answerOf(1);
  expect(keys).toMatchObject([{ alg: 'ES256', use: 'sig' }]);
  const made = (await answerOf(2)).data;
  expect(made).toMatchObject({ status: 'upcoming', algorithm: 'EdDSA' });
  expect(Date.parse(made.activates_at) - Date.now()).toBeGreaterThan(14 * 60_000);
  expect((await answerOf(3)).data.map(({ id }: { id: string }) => id)).toEqual([made.id, keys[0].kid]);
});

test('the program that it shows takes a token of the issuer and no other', async () => {
  const { signingKeys } = server.running.services;
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss, sub: 'usr_1', aud: iss, exp: now + 600, iat: now, jti: 'a', client_id: 'otp' };
  const sign = (id: string) => signingKeys.sign({ id }, { ...claims, environment: 'live' }, 'at+jwt');
  const other = await TestIssuer.create(server);
  // Beside the tests, where the library is found.
  const file = new URL('./signing-keys-docs.tmp.mjs', import.meta.url);
  await writeFile(
    file,
    `${program}\nfor (const token of process.argv.slice(2))
      console.log(await verifyAccessToken(token).then(({ sub }) => sub, ({ code }) => code));\n`,
  );
  try {
    const tokens = [await sign(issuer.id), await sign(other.id)];
    const { stdout } = await run(process.execPath, [file.pathname, ...tokens], { env });
    expect(stdout).toBe('usr_1\nERR_JWKS_NO_MATCHING_KEY\n');
  } finally {
    await rm(file);
  }
});
