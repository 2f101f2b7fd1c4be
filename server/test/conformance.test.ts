import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { freePort } from './harness/process.ts';
import { isSoak } from './harness/scale.ts';
import { startTestServer } from './harness/server.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../conformance/gatelodge.ts', import.meta.url));

/** One of each subject; the rest of the modules takes a minute more. */
const quick = [
  'oidcc-discovery-endpoint-verification',
  'oidcc-server',
  'oidcc-response-type-missing',
  'oidcc-userinfo-get',
  'oidcc-prompt-none-not-logged-in',
  'oidcc-prompt-none-logged-in',
  'oidcc-codereuse',
  'oidcc-ensure-registered-redirect-uri',
  'oidcc-ensure-request-with-valid-pkce-succeeds',
  'oidcc-refresh-token',
  'oidcc-rp-initiated-logout',
  'oidcc-rp-initiated-logout-bad-post-logout-redirect-uri',
];

/**
 * What may come out as a warning, and why: this user has no phone, and an ID token names no authentication context class,
 * since we have none to tell apart.
 */
const warnings = new Set(['oidcc-scope-phone', 'oidcc-ensure-request-with-acr-values-succeeds']);

// The issuer's URLs have to lead to where it is.
const port = await freePort();
const server = await startTestServer({
  env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: `http://localhost:${port}` },
});
afterAll(() => server.close());

interface Verdict {
  module: string;
  outcome: 'pass' | 'warning' | 'fail' | 'skipped-by-plan';
  reasons: string[];
}

test('an issuer passes the modules of the conformance suite', async () => {
  const file = join(server.dataDir, 'conformance.json');
  const modules = isSoak ? [] : quick.flatMap((name) => ['--module', name]);
  const { id, secret } = server.operator.key;
  await run(process.execPath, [script, '--url', `http://localhost:${port}`, '--json', file, ...modules], {
    env: { ...process.env, GATELODGE_KEY_ID: id, GATELODGE_KEY_SECRET: secret },
  }).catch(({ stdout, stderr }: { stdout: string; stderr: string }) => {
    throw new Error(`${stdout}\n${stderr}`);
  });
  const { verdicts, count } = JSON.parse(await readFile(file, 'utf8')) as {
    verdicts: Verdict[];
    count: Record<Verdict['outcome'], number>;
  };
  expect(verdicts.length).toBe(isSoak ? 67 : quick.length);
  const open = verdicts.filter(({ outcome, module }) => outcome === 'warning' && !warnings.has(module));
  expect([count.fail, open]).toEqual([0, []]);
  expect(count['skipped-by-plan']).toBeLessThanOrEqual(6);
  if (isSoak) console.log(`SOAK conformance: ${JSON.stringify(count)}`);
}, 600_000);
