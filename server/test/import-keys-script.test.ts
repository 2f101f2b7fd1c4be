import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Customer, createCustomer } from './harness/customer.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { succeeded, TestIssuer } from './harness/test-issuer.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const script = join(root, 'examples/import-keys/import-keys.mjs');

let server: TestServer;
let customer: Customer;
let issuer: TestIssuer;
let directory: string;
beforeAll(async () => {
  server = await startTestServer();
  customer = await createCustomer(server);
  issuer = await TestIssuer.create(server, {}, {}, customer.api);
  directory = await mkdtemp(join(tmpdir(), 'gatelodge-import-'));
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
  await server.close();
});

const hashOf = (secret: string, encoding: 'hex' | 'base64') =>
  createHash('sha256').update(secret).digest(encoding);
const newSecret = (prefix: string) => `${prefix}${randomBytes(12).toString('hex')}`;
const verified = async (secret: string) => (await customer.api.post('/v1/keys/verify', { key: secret })).body;

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Everything that any run has said. */
let said = '';

function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return runProgram(process.execPath, [script, ...args], env);
}

async function runProgram(program: string, args: readonly string[], env: object): Promise<Ended> {
  const child = spawn(program, args, {
    cwd: root,
    env: {
      GATELODGE_URL: server.url,
      GATELODGE_KEY_ID: customer.key.id,
      GATELODGE_KEY_SECRET: customer.key.secret,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
  });
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  said += stdout + stderr;
  return { code, stdout, stderr };
}

async function file(name: string, content: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

/** A key as Unkey's export has it. */
const ofUnkey = (secret: string, members: object = {}) => ({
  id: `key_${randomBytes(6).toString('hex')}`,
  hash: hashOf(secret, 'base64'),
  start: secret.slice(0, 8),
  name: 'from unkey',
  enabled: true,
  ...members,
});
const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

describe('from Unkey', () => {
  test('a dry run tells what conflicts and what is invalid by its line; then the keys are imported and verify', async () => {
    const [plain, known, limited, tenants, disabled, expired] = Array.from({ length: 6 }, () =>
      newSecret('uk_'),
    );
    const organization = await issuer.createOrganization({ external_id: 'customer-7' });
    const keys = [{ hash: hashOf(known!, 'hex') }];
    succeeded(await customer.api.post(`${issuer.path}/api-keys/import`, { keys }));
    const inOneYear = Date.now() + 365 * 86_400_000;
    const rows = [
      ofUnkey(plain!, { ownerId: 'user_1', meta: { plan: 'pro' } }),
      ofUnkey(known!),
      ofUnkey(limited!, { expires: inOneYear, permissions: ['documents.read', 'billing:write'] }),
      ofUnkey(tenants!, { identity: { externalId: 'customer-7' } }),
      ofUnkey(plain!),
      ofUnkey(disabled!, { enabled: false }),
      ofUnkey(expired!, { expires: Date.now() - 1_000 }),
    ];
    const wrong = [
      ofUnkey(newSecret('uk_'), { permissions: ['a.b.c.d'] }),
      { name: 'no hash' },
      ofUnkey(newSecret('uk_'), { hash: 'abc' }),
    ];
    const withWrong = await file('wrong.jsonl', `${jsonl(rows)}\n{"hash": oops\n${jsonl(wrong)}`);
    const args = ['--preset', 'unkey', '--issuer', issuer.id, '--map', 'organization=identity.externalId'];

    const dry = await run([...args, '--dry-run', withWrong]);
    expect(dry.code).toBe(1);
    expect(dry.stdout.split('\n')).toEqual([
      'line 2: conflict: already imported',
      'line 5: conflict: the same hash as line 1',
      expect.stringMatching(/^line 6: left out: is disabled there/),
      'line 7: left out: has expired there',
      'line 9: invalid: is not a JSON object',
      expect.stringMatching(/^line 10: invalid: restrictions.scopes\[0\]: a scope is /),
      'line 11: invalid: has no hash',
      expect.stringMatching(
        /^line 12: invalid: hash: must be 64 hex digits, or 43–44 characters of base64; bcrypt /,
      ),
      `Dry run: 3 keys would be imported: 2 keys into issuer ${issuer.id}, 1 into its organizations. Conflicts: 2. Left out: 2. Invalid: 4.`,
      '',
    ]);
    expect(dry.stderr).toContain(
      '2 keys without an organization: they belong to the issuer itself and may act',
    );
    const refused = await run([...args, withWrong]);
    expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining('Nothing was imported')]);
    expect((await verified(plain!)).code).toBe('NOT_FOUND');

    const good = await file('good.jsonl', jsonl(rows));
    const done = await run([...args, '--include-disabled', good]);
    expect([done.code, done.stdout]).toEqual([
      0,
      expect.stringContaining(
        `4 keys were imported: 3 keys into issuer ${issuer.id}, 1 into its organizations. Conflicts: 2. Left out: 1. Invalid: 0.`,
      ),
    ]);
    expect(done.stderr).toContain('imported 4 keys');
    expect(await verified(plain!)).toMatchObject({
      code: 'VALID',
      key: { name: 'from unkey', metadata: { plan: 'pro', external_id: 'user_1', unkey_id: rows[0]!.id } },
    });
    expect(await verified(limited!)).toMatchObject({
      code: 'VALID',
      key: { expires_at: new Date(inOneYear).toISOString() },
      scopes: ['documents:read', 'billing:write'],
    });
    expect(await verified(tenants!)).toMatchObject({
      code: 'VALID',
      organization: { id: organization.id, external_id: 'customer-7' },
    });
    expect((await verified(disabled!)).code).toBe('DISABLED');
    expect((await verified(expired!)).code).toBe('NOT_FOUND');
    const gateway = await issuer.authorize({ 'X-API-Key': plain! });
    expect(gateway.status).toBe(200);
    const { data } = succeeded(await customer.api.get(`${issuer.path}/api-keys?search=from%20unkey`)).body;
    expect(data.map(({ hint }: { hint: string }) => hint)).toContain(`${plain!.slice(0, 8)}…`);

    // As after a crash: the same answer, and nothing twice.
    const again = await run([...args, '--include-disabled', good]);
    expect([again.code, again.stdout]).toEqual([
      0,
      expect.stringContaining(
        '0 keys were imported. 4 keys were already imported by an earlier run. Conflicts: 2. Left out: 1. Invalid: 0.',
      ),
    ]);
    const { data: after } = succeeded(
      await customer.api.get(`${issuer.path}/api-keys?search=from%20unkey`),
    ).body;
    expect(after.length).toBe(data.length);
  });
});

describe('from a table of SHA-256 hashes', () => {
  test('as CSV: columns are mapped, many rows go in batches, and all keys verify', async () => {
    const secrets = Array.from({ length: 2_345 }, () => newSecret('acme_'));
    const table = [
      '\uFEFFkey_sha256,title,scopes,valid_until,plan,"customer"',
      ...secrets.map(
        (secret, index) =>
          `${hashOf(secret, 'hex')},"Key ""${index}"", of\r\na customer",invoices:read catalog:read,2099-01-31 12:00:00,pro,c${index}`,
      ),
    ].join('\r\n');
    const args = [
      ...['--issuer', issuer.id, '--map', 'hash=key_sha256', '--map', 'name=title'],
      ...[
        '--map',
        'expires_at=valid_until',
        '--map',
        'metadata.customer=customer',
        '--map',
        'metadata.plan=plan',
      ],
      ...['--set', 'environment=sandbox', '--set', 'prefix=acme_'],
    ];
    const dry = await run([...args, '--dry-run', await file('keys.csv', table)]);
    expect([dry.code, dry.stdout]).toEqual([0, expect.stringContaining('2345 keys would be imported')]);
    const done = await run([...args, join(directory, 'keys.csv')]);
    expect([done.code, done.stdout]).toEqual([0, expect.stringContaining('2345 keys were imported')]);
    expect(done.stderr.match(/imported \d+ keys/g)!.length).toBeGreaterThanOrEqual(3);
    for (const index of [0, 999, 1_000, 2_344]) {
      expect(await verified(secrets[index]!)).toMatchObject({
        code: 'VALID',
        environment: 'sandbox',
        scopes: ['invoices:read', 'catalog:read'],
        key: {
          name: `Key "${index}", of\r\na customer`,
          expires_at: '2099-01-31T12:00:00.000Z',
          metadata: { customer: `c${index}`, plan: 'pro' },
        },
      });
    }
  });

  test('a row with too few fields is told by the line on which it begins; the others go in when asked to', async () => {
    const [first, last] = [newSecret('x_'), newSecret('x_')];
    const table = `hash,name\n${hashOf(first, 'hex')},"two\nlines"\n${'0'.repeat(64)}\n${hashOf(last, 'hex')},b\n`;
    const path = await file('short.csv', table);
    const done = await run(['--issuer', issuer.id, '--skip-invalid', path]);
    expect([done.code, done.stdout]).toEqual([
      1,
      `line 4: invalid: has 1 field and the header 2\n2 keys were imported: 2 keys into issuer ${issuer.id}. Conflicts: 0. Left out: 0. Invalid: 1.\n`,
    ]);
    for (const secret of [first, last]) expect((await verified(secret)).code).toBe('VALID');
  });

  // Attack on ourselves: what was deleted over there works again here, because nobody looked at the column.
  test('keys that were deleted or revoked there are left out, and unknown columns that may say so are told of', async () => {
    const [alive, deleted, revoked] = [newSecret('x_'), newSecret('x_'), newSecret('x_')];
    const rows = [
      { hash: hashOf(alive, 'hex'), deletedAt: null, is_blocked: false },
      { hash: hashOf(deleted, 'hex'), deletedAt: 1_700_000_000_000, is_blocked: false },
      { hash: hashOf(revoked, 'hex'), revoked_at: '2026-01-01', is_blocked: false },
    ];
    const done = await run(['--issuer', issuer.id, await file('dead.jsonl', jsonl(rows))]);
    expect(done.stdout).toBe(
      `line 2: left out: was deleted or revoked there\nline 3: left out: was deleted or revoked there\n1 key was imported: 1 key into issuer ${issuer.id}. Conflicts: 0. Left out: 2. Invalid: 0.\n`,
    );
    expect(done.stderr).toContain('ignored columns: is_blocked\nWhere the column is_blocked marks keys');
    const codes = [alive, deleted, revoked].map(async (secret) => (await verified(secret)).code);
    expect(await Promise.all(codes)).toEqual(['VALID', 'NOT_FOUND', 'NOT_FOUND']);
  });

  test('a quote that is never closed is told by its line, and nothing is imported', async () => {
    const table = `hash,note\n${hashOf('a', 'hex')},fine\n${hashOf('b', 'hex')},"open\n${hashOf('c', 'hex')},lost\n`;
    const done = await run(['--issuer', issuer.id, await file('quote.csv', table)]);
    expect([done.code, done.stderr]).toEqual([2, expect.stringContaining('Line 3 opens a quote')]);
  });

  test('more errors than one answer tells are all told', async () => {
    const rows = Array.from({ length: 120 }, () => ({
      hash: hashOf(newSecret('x_'), 'hex'),
      kind: 'nonsense',
    }));
    const dry = await run(['--issuer', issuer.id, '--dry-run', await file('many.jsonl', jsonl(rows))]);
    expect([dry.code, dry.stdout]).toEqual([1, expect.stringContaining('Invalid: 120.')]);
    expect(dry.stdout.match(/^line \d+: invalid: kind: /gm)!.length).toBe(120);
  });
});

describe('an organization that a line names', () => {
  test('has to exist: the line is told with the name and what to do, unless it is left out anyway', async () => {
    await issuer.createOrganization({ external_id: 'known' });
    const secrets = Array.from({ length: 4 }, () => newSecret('x_'));
    const rows = [
      { hash: hashOf(secrets[0]!, 'hex'), customer: 'known', note: '' },
      { hash: hashOf(secrets[1]!, 'hex'), customer: 'customer 9', note: '' },
      { hash: hashOf(secrets[2]!, 'hex'), customer: 'nobody', expires_at: '2020-01-01' },
      { hash: hashOf(secrets[0]!, 'hex'), customer: 'nobody' },
    ];
    const path = await file('organizations.jsonl', jsonl(rows));
    const args = ['--issuer', issuer.id, '--map', 'organization=customer', '--skip-invalid'];
    const done = await run([...args, path]);
    expect([done.code, done.stdout.split('\n')]).toEqual([
      1,
      [
        'line 2: invalid: the issuer has no organization "customer 9"; create it first, with that as its external_id',
        'line 3: left out: has expired there',
        'line 4: conflict: the same hash as line 1',
        `1 key was imported: 1 key into organizations of issuer ${issuer.id}. Conflicts: 1. Left out: 1. Invalid: 1.`,
        '',
      ],
    ]);
    expect(done.stderr).toContain('ignored columns: note\n');
    expect(done.stderr).not.toContain('without an organization');
  });

  // Attack on ourselves: one wrong letter, and the keys of all tenants are the issuer's own.
  test('is looked for in a column that exists, or nothing is imported', async () => {
    const path = await file('misspelt.jsonl', jsonl([{ hash: hashOf('x', 'hex'), customer: 'known' }]));
    const done = await run(['--issuer', issuer.id, '--map', 'organization=custommer', path]);
    expect([done.code, done.stdout]).toEqual([2, '']);
    expect(done.stderr).toContain('--map organization=… names; is it misspelt?');
  });

  // Attack on ourselves: a wrong --map makes the organization's name a secret, and it would be printed.
  test('is not shown where it is the hash or the secret', async () => {
    const secret = newSecret('x_');
    const rows = [{ hash: hashOf(secret, 'base64'), secret, [hashOf(secret, 'hex')]: 1 }];
    const path = await file('wrong-map.jsonl', jsonl(rows));
    for (const column of ['hash', 'secret']) {
      const done = await run(['--issuer', issuer.id, '--map', `organization=${column}`, path]);
      expect([done.code, done.stdout]).toEqual([
        1,
        expect.stringContaining('has no organization (not shown'),
      ]);
    }
  });
});

describe('run again', () => {
  test('keys that were deleted meanwhile are imported anew, and counted so', async () => {
    const secrets = [newSecret('x_'), newSecret('x_')];
    const path = await file('again.jsonl', jsonl(secrets.map((secret) => ({ hash: hashOf(secret, 'hex') }))));
    await run(['--issuer', issuer.id, path]);
    const { key } = await verified(secrets[0]!);
    expect((await customer.api.delete(`${issuer.path}/api-keys/${key.id}`)).status).toBe(204);
    const again = await run(['--issuer', issuer.id, path]);
    expect([again.code, again.stdout]).toEqual([
      0,
      `line 2: conflict: already imported\n1 key was imported: 1 key into issuer ${issuer.id}. Conflicts: 1. Left out: 0. Invalid: 0.\n`,
    ]);
    expect((await verified(secrets[0]!)).code).toBe('VALID');
  });

  // The answer is lost on its way; the replay is of this run, which must not say that another one did it.
  test('a request that is repeated in the same run counts as this run’s', async () => {
    let lost = 0;
    const proxy = createServer(async (request, response) => {
      const body = await text(request);
      const { authorization, 'idempotency-key': key } = request.headers;
      const answer = await fetch(server.url + request.url, {
        method: request.method!,
        body,
        headers: {
          'Content-Type': 'application/json',
          Authorization: authorization!,
          ...(typeof key === 'string' && { 'Idempotency-Key': key }),
        },
      });
      const content = await answer.text();
      if (key !== undefined && lost++ === 0) return response.destroy();
      const replayed = answer.headers.get('Idempotent-Replayed');
      return response
        .writeHead(answer.status, replayed === null ? {} : { 'Idempotent-Replayed': replayed })
        .end(content);
    });
    await new Promise<void>((resolve) => {
      proxy.listen(0, '127.0.0.1', resolve);
    });
    try {
      const { port } = proxy.address() as AddressInfo;
      const path = await file('lost.jsonl', jsonl([{ hash: hashOf(newSecret('x_'), 'hex') }]));
      const done = await run(['--issuer', issuer.id, path], { GATELODGE_URL: `http://127.0.0.1:${port}` });
      expect(lost).toBe(2);
      expect([done.code, done.stdout]).toEqual([0, expect.stringMatching(/^1 key was imported: 1 key into/)]);
    } finally {
      proxy.close();
    }
  });
});

// Attack on ourselves: keys of tenants that belong to nobody in particular may act for all of them.
test('imports into the account only when that is said', async () => {
  const secret = newSecret('x_');
  const path = await file('account.jsonl', jsonl([{ hash: hashOf(secret, 'hex'), scopes: 'invoices:read' }]));
  const unsaid = await run([path]);
  expect([unsaid.code, unsaid.stdout]).toEqual([2, '']);
  expect(unsaid.stderr).toMatch(
    /--issuer ID, with --map organization=COLUMN .* above all issuers .* say --account/,
  );
  expect((await run(['--account', '--issuer', issuer.id, path])).code).toBe(2);
  const done = await run(['--account', path]);
  expect([done.code, done.stdout]).toEqual([
    0,
    '1 key was imported: 1 key into the account. Conflicts: 0. Left out: 0. Invalid: 0.\n',
  ]);
  expect(await verified(secret)).toMatchObject({ code: 'VALID', issuer_id: null });
});

test('every recipe of docs/import-keys.md runs as it is written, and puts keys below their organizations', async () => {
  const guide = await readFile(join(root, 'docs/import-keys.md'), 'utf8');
  const [credentials, ...recipes] = [...guide.matchAll(/```sh\n(.*?)```/gs)].map(([, snippet]) =>
    String(snippet),
  );
  const [csv] = [...guide.matchAll(/```csv\n(.*?)```/gs)].map(([, table]) => String(table));
  expect(recipes).toHaveLength(2);
  await issuer.createOrganization({ external_id: 'tenant_abc123' });
  const unkey = jsonl([ofUnkey(newSecret('uk_'), { externalId: 'tenant_abc123' })]);
  const files = { 'keys.jsonl': await file('keys.jsonl', unkey), 'keys.csv': await file('guide.csv', csv!) };
  for (const recipe of recipes) {
    const snippet = recipe.replace(/keys\.(jsonl|csv)$/m, (name) => files[name as keyof typeof files]);
    const done = await runProgram('bash', ['-euo', 'pipefail', '-c', `${credentials}\n${snippet}`], {
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      OPERATOR: `${customer.key.id}:${customer.key.secret}`,
      GATELODGE_KEY_ID: '',
      GATELODGE_KEY_SECRET: '',
      ISSUER: issuer.id,
    });
    expect([done.code, done.stdout]).toEqual([
      0,
      `Dry run: 1 key would be imported: 1 key into organizations of issuer ${issuer.id}. Conflicts: 0. Left out: 0. Invalid: 0.\n`,
    ]);
    expect(done.stderr).not.toContain('without an organization');
  }
});

test('a server that is away is named with the reason', async () => {
  const gone = createServer();
  await new Promise<void>((resolve) => {
    gone.listen(0, '127.0.0.1', resolve);
  });
  const { port } = gone.address() as AddressInfo;
  await new Promise((resolve) => {
    gone.close(resolve);
  });
  const path = await file('away.jsonl', jsonl([{ hash: hashOf('x', 'hex') }]));
  const away = await run(['--issuer', issuer.id, path], { GATELODGE_URL: `http://127.0.0.1:${port}/` });
  expect([away.code, away.stdout]).toEqual([3, '']);
  expect(away.stderr).toContain(`http://127.0.0.1:${port} can't be reached (ECONNREFUSED).`);
});

test('says what it wants, what is missing, and that the server refuses', async () => {
  const help = await run(['--help']);
  expect([help.code, help.stdout]).toEqual([0, expect.stringContaining('--dry-run')]);
  const path = await file('one.jsonl', jsonl([{ hash: hashOf('x', 'hex') }]));
  for (const [args, env] of [
    [[], {}],
    [['--nonsense', path], {}],
    [['--preset', 'nobody', path], {}],
    [['--map', 'password=x', path], {}],
    [['--batch-size', '5000', path], {}],
    [['no-such-file.jsonl'], {}],
    [['--map', 'hash=elsewhere', path], {}],
    [['--set', 'organization=tenant', path], {}],
    [[path], { GATELODGE_KEY_SECRET: '' }],
    [[path], { GATELODGE_URL: 'keys.example.com' }],
    [[path], { GATELODGE_URL: 'https://me:hunter2@keys.example.com' }],
  ] as const) {
    const wrong = await run(['--account', ...args], env);
    expect([wrong.code, wrong.stdout], args.join(' ')).toEqual([2, '']);
    expect(wrong.stderr).not.toBe('');
  }
  const stranger = await run(['--account', path], { GATELODGE_KEY_SECRET: 'nobody' });
  expect([stranger.code, stranger.stderr]).toEqual([3, expect.stringContaining('401 invalid_key')]);
});

// Attack: somebody reads the terminal's history or the log of the job that ran it.
test('has printed no hash and no secret, whatever went wrong', () => {
  expect(said.length).toBeGreaterThan(1_000);
  expect(said).not.toMatch(/[0-9a-f]{64}/i);
  expect(said).not.toMatch(/[A-Za-z0-9+/]{43}=/);
  expect(said).not.toMatch(/(uk|acme|x)_[0-9a-f]{24}/);
  expect(said).not.toContain(customer.key.secret);
  expect(said).not.toContain('hunter2');
});
