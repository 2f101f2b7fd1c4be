import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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

/** Runs a call as it was printed, in a shell with a curl that only says what it was called with, and with what input. */
async function toldBy(call: string): Promise<{ arguments: string; input: string }> {
  const { stdout } = await run('sh', [
    '-c',
    `curl() { printf '%s\n' "$@"; echo '--- input'; cat; }\n${call}`,
  ]);
  const [args = '', input = ''] = stdout.split('--- input\n');
  return { arguments: args, input };
}

/** What really comes back. */
async function answerTo(call: string, shell: string): Promise<string> {
  return (await run(shell, ['-c', call])).stdout;
}

/** The calls in a greeting: the pipe into curl, over two lines. */
function callsIn(text: string): string[] {
  return text.match(/^node -p .* \|\n {2}curl .*$/gm) ?? [];
}

const settingsFor = (dataDir: string) =>
  loadSettings({ GATELODGE_PUBLIC_URL: server.url, GATELODGE_PORT: '1', GATELODGE_DATA_DIR: dataDir });

describe('the greeting', () => {
  test('prints a call that verifies the demo key, and no secret', async () => {
    const text = greet(settingsFor(server.dataDir), { ...bootstrap, demos: [] }, { demo: true });
    const calls = callsIn(text);
    expect(calls.length).toBe(1);
    expect(text).toContain(`Try it:\n${calls[0]}\n\n`);
    for (const shell of ['sh', 'bash']) {
      expect(JSON.parse(await answerTo(calls[0]!, shell))).toMatchObject({ valid: true, code: 'VALID' });
    }
  });

  test('says where mails are shown and what opens it, unless a mail server takes them', async () => {
    const settings = settingsFor(server.dataDir);
    const text = greet(settings, bootstrap, { demo: false });
    const [, mailbox] = /shown at (\S+), which/.exec(text) ?? [];
    const { id, secret } = bootstrap.api_key;
    const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
    expect(text).toContain('api_key.id and api_key.secret');
    expect((await fetch(mailbox!)).status).toBe(401);
    expect((await fetch(mailbox!, { headers: { authorization } })).status).toBe(200);
    const smtpUrl = { host: 'localhost', port: 25, tls: 'none', credentials: null } as const;
    expect(greet({ ...settings, smtpUrl }, bootstrap, { demo: false })).not.toContain('/dev/mailbox');
  });

  test('prints a working call in the style of each preset', async () => {
    const text = greet(settingsFor(server.dataDir), bootstrap, { demo: true });
    const [, ...calls] = callsIn(text);
    expect(calls.length).toBe(presetNames.length);
    for (const call of calls) {
      const answer = await answerTo(call, 'sh');
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(answer).toMatch(/\r\nX-Environment: SANDBOX\r\n/i);
    }
  });

  // The attack: somebody else on the machine runs `ps` while the call is tried, or reads the terminal's history.
  test('shows no secret, neither in what it prints nor in the arguments of what is run', async () => {
    const text = greet(settingsFor(server.dataDir), bootstrap, { demo: true });
    const secrets = [
      bootstrap.api_key.secret,
      bootstrap.demo.api_key.secret,
      ...bootstrap.demos!.flatMap(({ keys }) => [keys.live.secret, keys.sandbox.secret]),
    ];
    expect(secrets.length).toBe(2 + 2 * presetNames.length);
    for (const secret of secrets) expect(text).not.toContain(secret);
    for (const call of callsIn(text)) {
      const told = await toldBy(call);
      expect(secrets.some((secret) => told.input.includes(secret))).toBe(true);
      for (const secret of secrets) expect(told.arguments).not.toContain(secret);
    }
  });

  test('without --demo prints the one call alone, also where there are demos', () => {
    expect(callsIn(greet(settingsFor(server.dataDir), bootstrap, { demo: false }))).toHaveLength(1);
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
      expect((await toldBy(call!)).input).toContain(`user=${id}:${secret}\n`);
    },
  );

  test('on a node that has no file says no more than where the server is', () => {
    const text = greet(settingsFor(server.dataDir), null, { demo: true });
    expect(text).toContain(server.url);
    expect(callsIn(text)).toEqual([]);
  });
});
