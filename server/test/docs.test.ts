import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { presetNames } from '../src/key-profiles/key-profile.ts';
import { managementPermissions } from '../src/scopes/scope.ts';
import { refusals } from '../src/verification/refusals.ts';
import { startTestServer, type TestServer } from './harness/server.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server.close());

describe('README.md', () => {
  it('has a tour that works as it is written', async () => {
    const readme = await readText('README.md');
    const blocks = [...readme.matchAll(/<!-- run -->\n```sh\n(.*?)```/gs)].map(([, block]) => block);
    expect(blocks.length).toBeGreaterThan(5);
    const script = ['set -euo pipefail', ...blocks]
      .join('\n')
      .replaceAll('http://localhost:4600', server.url)
      .replaceAll('data/bootstrap.json', join(server.dataDir, 'bootstrap.json'));

    const { stdout } = await run('bash', ['-c', script], { env: { ...process.env, PATH: pathWithNode() } });

    expect(stdout).toContain('"type":"api_key"');
    expect(stdout).toContain('"preset":"tenant-header"');
    expect(stdout).toContain('"valid":true,"code":"VALID"');
    expect(stdout).toContain('HTTP/1.1 200 OK');
    expect(stdout).toMatch(/X-Gatelodge-Organization-Id: org_/i);
    expect(stdout).toContain('HTTP/1.1 403 Forbidden');
    expect(stdout).toContain('"code":"tenant_mismatch"');
    expect(stdout).toContain('"type":"api-key.created"');
  });

  it('shows the answer of a verification with the members that it has', async () => {
    const readme = await readText('README.md');
    const shown = JSON.parse(/```json\n(.*?)```/s.exec(readme)?.[1] ?? '{}') as Record<string, unknown>;
    const { body } = await server.operator.api.post('/v1/keys/verify', { key: server.demo.key.secret });
    expect(Object.keys(shown)).toEqual(Object.keys(body));
    expect(Object.keys(shown.key as object)).toEqual(Object.keys(body.key));
  });

  it('names commands that exist, the test command being the one of CI', async () => {
    const { scripts } = JSON.parse(await readText('package.json')) as { scripts: Record<string, string> };
    const texts = `${await readText('README.md')}\n${await readText('CONTRIBUTING.md')}\n${await readText('.ci/run')}`;
    const named = [...texts.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name);
    expect(named.filter((name) => !(String(name) in scripts))).toEqual([]);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['start', 'test']));
    expect(await readText('README.md')).toContain('npm cit');
    expect(await readText('.ci/run')).toContain('npm cit');
  });
});

describe('docs', () => {
  it('link only to files that exist', async () => {
    const broken: string[] = [];
    for (const file of await markdownFiles()) {
      for (const [, target] of (await readText(file)).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)) {
        const path = join(dirname(join(root, file)), String(target));
        await readFile(path).catch(() => broken.push(`${file}: ${target}`));
      }
    }
    expect(broken).toEqual([]);
  });

  it('list every permission, preset and refusal of a key', async () => {
    const concepts = await readText('docs/concepts.md');
    const nouns = new Set(managementPermissions.map((permission) => permission.split(':')[0]!));
    for (const noun of nouns) expect(concepts).toContain(noun);
    for (const preset of presetNames) expect(concepts).toContain(`| \`${preset}\``);
    const ofKeys = Object.entries(refusals).filter(([, refusal]) => [401, 403].includes(refusal.status));
    const notOfKeys = new Set(['invalid_otp', 'invalid_token']);
    for (const [code] of ofKeys) if (!notOfKeys.has(code)) expect(concepts).toContain(`\`${code}\``);
  });

  it('are told by scripts/install-gateways.sh --help how it is used', async () => {
    const { stdout } = await run(join(root, 'scripts/install-gateways.sh'), ['--help']);
    expect(stdout).toMatch(/^Usage: scripts\/install-gateways.sh <dir>\n/);
  });

  it('name commands of the command line that exist', async () => {
    const main = join(root, 'server/src/main.ts');
    for (const [command, ...subcommands] of [
      ['start'],
      ['migrate'],
      ['secrets', 'list', 'rotate', 'retire'],
      ['master-key', 'rotate', 'generate'],
    ]) {
      const { stdout } = await run(process.execPath, [main, String(command), '--help']);
      for (const subcommand of subcommands) expect(stdout).toContain(subcommand);
    }
  });
});

async function markdownFiles(): Promise<string[]> {
  const inDocs = await readdir(join(root, 'docs'), { recursive: true });
  return [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    ...inDocs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
  ];
}

function readText(path: string): Promise<string> {
  return readFile(join(root, path), 'utf8');
}

/** The snippets call `node`, which stands beside the one that runs the tests. */
function pathWithNode(): string {
  return `${dirname(process.execPath)}:${process.env.PATH}`;
}
