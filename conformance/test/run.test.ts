import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BareProvider, startBareProvider } from '../calibration/bare-provider.ts';
import { mutants } from '../calibration/mutants/all.ts';

const programs = fileURLToPath(new URL('..', import.meta.url));

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conformance-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

function run(...args: string[]): Promise<Ended> {
  return runProgram('run.ts', args);
}

function runProgram(name: string, args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(programs, name), ...args],
      { timeout: 55_000 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** A config file for a provider, whose mailbox is served beside it. */
async function configFileFor(provider: BareProvider, cleanup: AsyncDisposableStack): Promise<string> {
  let mails = 0;
  const mailbox = createServer((request, response) => {
    const to = new URL(request.url!, 'http://mailbox').searchParams.get('to') ?? '';
    provider.codeFor(to).then(
      (code) => {
        mails += 1;
        response.end(JSON.stringify({ data: [{ id: String(mails), to, text: `Your code: ${code}` }] }));
      },
      () => response.end(JSON.stringify({ data: [] })),
    );
  });
  await new Promise<void>((resolve) => mailbox.listen(0, '127.0.0.1', resolve));
  cleanup.defer(() => {
    mailbox.closeAllConnections();
    mailbox.close();
  });
  const { config } = provider;
  const members = [config.client, config.secondClient].map((client) => ({
    client_id: client.clientId,
    client_secret: client.clientSecret,
    token_endpoint_auth_method: client.authMethod,
    redirect_uri: client.redirectUri,
    post_logout_redirect_uri: client.postLogoutRedirectUri,
  }));
  const file = join(directory, `${mails}-${(mailbox.address() as AddressInfo).port}.json`);
  const code = { mailbox_url: `http://127.0.0.1:${(mailbox.address() as AddressInfo).port}/` };
  const [client, second_client] = members;
  await writeFile(file, JSON.stringify({ issuer: config.issuer, client, second_client, code }));
  return file;
}

describe('run.ts', () => {
  it('prints a table, writes JSON and ends with 0 when nothing fails', async () => {
    await using provider = await startBareProvider();
    await using cleanup = new AsyncDisposableStack();
    const config = await configFileFor(provider, cleanup);
    const json = join(directory, 'verdicts.json');
    const modules = ['--module', 'oidcc-server', '--module', 'oidcc-idtoken-signature'];
    const { code, stdout } = await run('--config', config, ...modules, '--json', json);
    expect(stdout).toContain('2 modules: 1 pass, 0 warning, 0 fail, 1 skipped-by-plan');
    expect(code).toBe(0);
    expect(JSON.parse(await readFile(json, 'utf8'))).toMatchObject({
      issuer: provider.config.issuer,
      count: { pass: 1, warning: 0, fail: 0, 'skipped-by-plan': 1 },
      verdicts: [{ module: 'oidcc-server', outcome: 'pass', reasons: [] }, { outcome: 'skipped-by-plan' }],
    });
  });

  it('ends with 1 and says why when a module fails', async () => {
    await using provider = await startBareProvider(
      mutants.find(({ name }) => name === 'id-token-nonce-missing'),
    );
    await using cleanup = new AsyncDisposableStack();
    const config = await configFileFor(provider, cleanup);
    const { code, stdout } = await run('--config', config, '--module', 'oidcc-server', '--json', '-');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      verdicts: [{ outcome: 'fail', reasons: [expect.stringContaining('nonce')] }],
    });
  });

  it('ends with 1 when there is no provider', async () => {
    const provider = await startBareProvider();
    await using cleanup = new AsyncDisposableStack();
    const config = await configFileFor(provider, cleanup);
    await provider[Symbol.asyncDispose]();
    const { code, stdout } = await run('--config', config, '--plan', 'oidcc-config-certification-test-plan');
    expect(code).toBe(1);
    expect(stdout).toContain('could not be carried out');
  });

  it('ends with 2 when it is told something that it does not know', async () => {
    const wrong = await run('--nonsense');
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('Usage');
    await using cleanup = new AsyncDisposableStack();
    await using provider = await startBareProvider();
    const config = await configFileFor(provider, cleanup);
    const unknown = await run('--config', config, '--module', 'oidcc-nonsense');
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('oidcc-nonsense') });
  });

  it('lists every plan and module, as the README does', async () => {
    const { code, stdout } = await run('--list');
    expect(code).toBe(0);
    expect(stdout.match(/^\| `(oidcc|own)-/gm)?.length).toBeGreaterThanOrEqual(60);
    const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
    const [, listed] = /<!-- npm run conformance -- --list -->\n(.*)<!-- end -->/s.exec(readme) ?? [];
    expect(listed).toBe(stdout);
  });
});

describe('gatelodge.ts', () => {
  it('tells how it is used, and what is missing', async () => {
    const help = await runProgram('gatelodge.ts', ['--help']);
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining('Usage') });
    const missing = join(directory, 'nowhere.json');
    const lost = await runProgram('gatelodge.ts', ['--bootstrap', missing]);
    expect(lost).toMatchObject({ code: 2, stderr: expect.stringContaining(missing) });
  });
});
