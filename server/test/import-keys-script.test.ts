import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Customer, createCustomer } from './harness/customer.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { succeeded, TestIssuer } from './harness/test-issuer.ts';

const script = fileURLToPath(new URL('../../examples/import-keys/import-keys.mjs', import.meta.url));

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

async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, [script, ...args], {
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
      expect.stringMatching(/^line 12: invalid: hash: must be a SHA-256 hash/),
      'Dry run: 3 keys would be imported. Conflicts: 2. Left out: 2. Invalid: 4.',
      '',
    ]);
    const refused = await run([...args, withWrong]);
    expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining('Nothing was imported')]);
    expect((await verified(plain!)).code).toBe('NOT_FOUND');

    const good = await file('good.jsonl', jsonl(rows));
    const done = await run([...args, '--include-disabled', good]);
    expect([done.code, done.stdout]).toEqual([
      0,
      expect.stringContaining('4 keys were imported. Conflicts: 2. Left out: 1. Invalid: 0.'),
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
    expect([again.code, again.stdout]).toEqual([0, done.stdout]);
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
      'line 4: invalid: has 1 fields and the header 2\n2 keys were imported. Conflicts: 0. Left out: 0. Invalid: 1.\n',
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
      'line 2: left out: was deleted or revoked there\nline 3: left out: was deleted or revoked there\n1 keys were imported. Conflicts: 0. Left out: 2. Invalid: 0.\n',
    );
    expect(done.stderr).toContain('the column is_blocked');
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
  ] as const) {
    const wrong = await run(args, env);
    expect([wrong.code, wrong.stdout], args.join(' ')).toEqual([2, '']);
    expect(wrong.stderr).not.toBe('');
  }
  const stranger = await run([path], { GATELODGE_KEY_SECRET: 'nobody' });
  expect([stranger.code, stranger.stderr]).toEqual([3, expect.stringContaining('401 invalid_key')]);
});

// Attack: somebody reads the terminal's history or the log of the job that ran it.
test('has printed no hash and no secret, whatever went wrong', () => {
  expect(said.length).toBeGreaterThan(1_000);
  expect(said).not.toMatch(/[0-9a-f]{64}/i);
  expect(said).not.toMatch(/[A-Za-z0-9+/]{43}=/);
  expect(said).not.toMatch(/(uk|acme|x)_[0-9a-f]{24}/);
  expect(said).not.toContain(customer.key.secret);
});
