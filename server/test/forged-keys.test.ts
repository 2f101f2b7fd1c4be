import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mintKeySecret } from '../src/api-keys/key-secret.ts';
import { ApiClient } from './harness/api-client.ts';
import { Random } from './harness/random.ts';
import { send } from './harness/raw-http.ts';
import { Rows } from './harness/rows.ts';
import { isSoak, scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { SqlLog } from './harness/sql-log.ts';
import { createTenant, type Tenant } from './harness/tenant.ts';

/*
 * Attack: keys that are almost real (a bit flipped, cut short, in another case, with look-alikes, with another check
 * part, of another installation) are shown at every door: one may be accepted, and a flood of them may at least keep
 * the database busy. None may be accepted, and none may cost a single statement.
 */

let server: TestServer;
let tenant: Tenant;
let sql: SqlLog;
/** Digests of the keys that really exist: looking those up is nobody's forgery. */
let genuine: Set<string>;
beforeAll(async () => {
  server = await startTestServer();
  tenant = await createTenant(server, 'tenant');
  const rows = await Rows.open(server.database);
  const digests = await rows.query<{ digest: Buffer }>('select digest from api_keys');
  genuine = new Set(digests.map(({ digest }) => digest.toString('hex')));
  await rows.close();
  sql = new SqlLog(server);
});
afterAll(() => server.close());

const random = new Random();
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const lookAlikes: Record<string, string> = {
  ...{ a: 'а', c: 'с', e: 'е', o: 'ο', p: 'р', x: 'х', i: 'і', s: 'ѕ', l: 'ⅼ', k: 'K' },
  ...{ O: '0', '0': 'O', I: 'l', '1': 'I', A: 'Α', B: 'Β', K: 'К', _: '＿', '5': '５' },
};

/** Ways to make another key of a real one. */
const mutations: Record<string, (secret: string, other: string) => string> = {
  'one character changed': (secret) => replaceAt(secret, at(secret), () => randomText(1)),
  'one bit flipped': (secret) =>
    replaceAt(secret, at(secret), (c) => String.fromCharCode(c.charCodeAt(0) ^ (1 << random.int(7)))),
  'cut short at the end': (secret) => secret.slice(0, -1 - random.int(secret.length - 1)),
  'cut short at the beginning': (secret) => secret.slice(1 + random.int(secret.length - 1)),
  'one character left out': (secret) => replaceAt(secret, at(secret), () => ''),
  'one character twice': (secret) => replaceAt(secret, at(secret), (c) => c + c),
  'something added': (secret) => secret + randomText(1),
  'two characters swapped': (secret) => {
    const index = random.int(secret.length - 1);
    return secret.slice(0, index) + secret[index + 1] + secret[index] + secret.slice(index + 2);
  },
  'the case of one letter': (secret) =>
    replaceAt(secret, at(secret), (c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase())),
  'in upper case': (secret) => secret.toUpperCase(),
  'in lower case': (secret) => secret.toLowerCase(),
  'a look-alike in it': (secret) => replaceAt(secret, at(secret), (c) => lookAlikes[c] ?? `${c}\u0301`),
  'full-width': (secret) => secret.replaceAll(/[!-~]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0)),
  'an invisible character in it': (secret) => replaceAt(secret, at(secret), (c) => `${c}\u200b`),
  'another prefix': (secret) => secret.replace(/^.*(?=.{44}$)/, 'acme_live_sk_'),
  'of the other kind': (secret) => secret.replace('_sk_', '_pk_'),
  'of the other environment': (secret) => secret.replace('_live_', '_sandbox_'),
  'another check part': (secret) => secret.slice(0, -10) + randomText(10),
  'another random part': (secret) => secret.replace(/.{44}$/, (body) => randomText(32) + body.slice(32)),
  'another generation of the digest': (secret) => replaceAt(secret, secret.length - 12, otherThan),
  'another generation of the check': (secret) => replaceAt(secret, secret.length - 11, otherThan),
  'the check part of another key': (secret, other) => secret.slice(0, -10) + other.slice(-10),
  'half of one key and half of another': (secret, other) => {
    const index = 12 + random.int(40);
    return secret.slice(0, index) + other.slice(index);
  },
  'all but the check part at random': () => `gl_live_sk_${randomText(32)}00${randomText(10)}`,
  'of another installation': () => mintElsewhere(),
  'percent-encoded': (secret) => replaceAt(secret, at(secret), (c) => `%${c.charCodeAt(0).toString(16)}`),
  'in base64': (secret) => Buffer.from(secret).toString('base64'),
  'with a NUL and more': (secret) => `${secret}\u0000x`,
  'as two keys': (secret, other) => `${secret},${other}`,
};

describe('keys that are almost real', () => {
  test(
    'are refused at every door and cost no statement',
    async () => {
      const secrets = [
        tenant.key,
        tenant.issuer.key,
        tenant.issuer.organizations[0].key,
        tenant.sandboxKey,
      ].map(({ secret }) => secret);
      const keys = mutantsOf(secrets, scaled(1_000, 10_000));
      sql.clear();
      const accepted: string[] = [];
      await inParallel(keys, 16, async ({ how, secret }) => {
        for (const [door, isAccepted] of Object.entries(doors))
          if (await isAccepted(secret)) accepted.push(`${door}: ${how}`);
      });
      expect(accepted, `seed ${random.seed}`).toEqual([]);
      expect(sql.statements).toEqual([]);
      const lookedUp = sql.lookups.filter(
        ({ text, values }) =>
          text.includes('lookup_api_key') && !genuine.has(Buffer.from(values[0] as Buffer).toString('hex')),
      );
      expect(lookedUp).toEqual([]);
      expect(keys.length).toBe(scaled(1_000, 10_000));
    },
    scaled(60_000, 600_000),
  );

  test('as the id of a key are refused beside its real secret', async () => {
    const { id, secret } = tenant.key;
    const ids = Object.values(mutations).map((mutate) => mutate(id, tenant.issuer.key.id));
    for (const mutant of ids.filter((each) => each !== id && !each.includes(':'))) {
      for (const path of ['/v1/me', '/v1/account']) {
        const answer = await new ApiClient(server.url, { id: mutant, secret }).get(path);
        expect([answer.status, answer.body.code], JSON.stringify(mutant)).toEqual([401, 'invalid_key']);
      }
    }
  });

  test('are told from real ones, which every door here accepts', async () => {
    const { secret } = tenant.issuer.key;
    for (const [door, isAccepted] of Object.entries(doors)) expect(await isAccepted(secret), door).toBe(true);
  });
});

/** Whether a secret is taken for a key: asked about, asking who it is, passing a gateway, and managing. */
const doors: Record<string, (secret: string) => Promise<boolean>> = {
  verify: async (secret) => {
    const { status, body } = await tenant.api.post('/v1/keys/verify', { key: secret });
    // A text that no key can be is no valid request.
    if (status === 422) return false;
    expect(status).toBe(200);
    return body.valid || body.code !== 'NOT_FOUND';
  },
  me: async (secret) =>
    isKnown(await send(`${server.url}/v1/me`, { headers: { 'X-API-Key': latin1(secret) } })),
  authorize: async (secret) =>
    isKnown(
      await send(`${server.url}/v1/authorize/${tenant.issuer.id}`, {
        headers: { 'X-API-Key': latin1(secret) },
      }),
    ),
  management: async (secret) =>
    isKnown(
      await send(`${server.url}/v1/issuers/${tenant.issuer.id}`, {
        headers: { Authorization: `Bearer ${latin1(secret)}` },
      }),
    ),
};

function isKnown({ status }: { status: number }): boolean {
  expect([200, 400, 401]).toContain(status);
  return status === 200;
}

/** A header carries bytes: UTF-8, one character a byte, and without the ones that no header may have. */
function latin1(text: string): string {
  const bytes = Buffer.from(text).filter((byte) => byte === 9 || (byte >= 32 && byte !== 127));
  return Buffer.from(bytes).toString('latin1');
}

/** As many mutants as asked for, of every way alike, none of them a real key. */
function mutantsOf(secrets: readonly string[], count: number): { how: string; secret: string }[] {
  const ways = Object.entries(mutations);
  const mutants: { how: string; secret: string }[] = [];
  for (let turn = 0; mutants.length < count; turn++) {
    const [how, mutate] = ways[turn % ways.length]!;
    const secret = secrets[turn % secrets.length]!;
    const mutant = mutate(secret, secrets[(turn + 1) % secrets.length]!);
    // White space around a header's value is no part of it.
    if (!secrets.includes(mutant.trim()) && !secrets.includes(latin1(mutant).trim()))
      mutants.push({ how, secret: mutant });
    if (turn > count * 3) throw new Error('the mutations make too few mutants');
  }
  return mutants;
}

function mintElsewhere(): string {
  return mintKeySecret({
    prefix: 'gl_live_sk_',
    digest: { generation: 1, key: randomBytes(32).toString('hex') },
    check: { generation: 1, key: randomBytes(32) },
  }).secret;
}

async function inParallel<T>(items: readonly T[], workers: number, work: (item: T) => Promise<void>) {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: isSoak ? workers * 2 : workers }, worker));
}

function at(text: string): number {
  return random.int(text.length);
}

function replaceAt(text: string, index: number, replacement: (character: string) => string): string {
  return text.slice(0, index) + replacement(text[index]!) + text.slice(index + 1);
}

function otherThan(character: string): string {
  const others = alphabet.replace(character, '');
  return random.text(1, others);
}

function randomText(length: number): string {
  return random.text(length, alphabet);
}
