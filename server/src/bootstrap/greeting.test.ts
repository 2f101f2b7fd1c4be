import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { presetNames } from '../key-profiles/key-profile.ts';
import { loadSettings } from '../settings.ts';
import { type Bootstrap, bootstrapPath, ensureBootstrap } from './bootstrap.ts';
import { greet } from './greeting.ts';

const run = promisify(execFile);
const server = await startTestServer({ demo: true });
const directory = await mkdtemp(join(tmpdir(), 'gatelodge-greeting-'));
afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

let bootstrap: Bootstrap;
beforeAll(async () => {
  bootstrap = (await ensureBootstrap(server.running.services, { demo: true }))!;
});

/** Runs a call that was printed as it is in a shell, with a curl that only says what it was called with. */
async function argumentsOf(call: string): Promise<string[]> {
  const { stdout } = await run('sh', ['-c', `curl() { printf '%s\\n' "$@"; }\n${call}`]);
  return stdout.trimEnd().split('\n');
}

/** The calls in a greeting: from `curl` to the end of the lines that it goes on over. */
function callsIn(text: string): string[] {
  return text.match(/^curl (?:.*\\\n)*.*$/gm) ?? [];
}

const settingsFor = (dataDir: string) =>
  loadSettings({ GATELODGE_PUBLIC_URL: server.url, GATELODGE_PORT: '1', GATELODGE_DATA_DIR: dataDir });

describe('the greeting', () => {
  test('prints a call that verifies the demo key, and no secret', async () => {
    const text = greet(settingsFor(server.dataDir), { ...bootstrap, demos: [] }, { demo: true });
    const calls = callsIn(text);
    expect(calls.length).toBe(1);
    const args = await argumentsOf(calls[0]!);
    expect(args.slice(0, 2)).toEqual(['-sS', `${server.url}/v1/keys/verify`]);
    const answer = await send(args[1]!, {
      method: 'POST',
      headers: {
        Authorization: `Basic ${btoa(args[args.indexOf('-u') + 1]!)}`,
        'Content-Type': args[args.indexOf('-H') + 1]!.replace('Content-Type: ', ''),
      },
      body: args[args.indexOf('-d') + 1]!,
    });
    expect(answer).toMatchObject({ status: 200, body: { valid: true, code: 'VALID' } });
  });

  test('prints a working call in the style of each preset', async () => {
    const text = greet(settingsFor(server.dataDir), bootstrap, { demo: true });
    const [, ...calls] = callsIn(text);
    expect(calls.length).toBe(presetNames.length);
    for (const call of calls) {
      const [flags, url, ...headers] = await argumentsOf(call);
      expect(flags).toBe('-sSi');
      const given = headers.filter((argument) => argument !== '-H').map((header) => header.split(': ', 2));
      const answer = await send(url!, { headers: Object.fromEntries(given) });
      expect([call, answer.status]).toEqual([call, 200]);
      expect(answer.headers['x-environment']).toBe('SANDBOX');
    }
    const secrets = [
      bootstrap.api_key.secret,
      bootstrap.demo.api_key.secret,
      ...bootstrap.demos!.flatMap(({ keys }) => [keys.live.secret, keys.sandbox.secret]),
    ];
    expect(secrets.length).toBe(2 + 2 * presetNames.length);
    for (const secret of secrets) expect(text).not.toContain(secret);
  });

  test.each(["it's here", 'with "quotes"', 'a $HOME `id` $(id)', 'back\\slash', 'ünï 😀'])(
    // The attack: a path that the shell takes for something to run.
    'reads the file also in a directory called %j',
    async (name) => {
      const dataDir = join(directory, name);
      await mkdir(dataDir);
      await writeFile(bootstrapPath(dataDir), JSON.stringify(bootstrap));
      const [call] = callsIn(greet(settingsFor(dataDir), bootstrap, { demo: true }));
      const { id, secret } = bootstrap.api_key;
      expect(await argumentsOf(call!)).toContain(`${id}:${secret}`);
    },
  );

  test('on a node that has no file says no more than where the server is', () => {
    const text = greet(settingsFor(server.dataDir), null, { demo: true });
    expect(text).toContain(server.url);
    expect(callsIn(text)).toEqual([]);
  });
});
