import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { routes } from '../../src/app.ts';
import { migrateDatabase } from '../../src/postgres/migrate.ts';
import { secretPurposes } from '../../src/secrets/secret-purpose.ts';
import { openSealedKey } from '../../src/signing-keys/sealed-key.ts';
import type { SigningAlgorithm } from '../../src/signing-keys/signing-key.ts';
import { silentLog } from '../../src/supervisor/log.ts';
import { ApiClient } from '../harness/api-client.ts';
import { startTestCluster, type TestCluster } from '../harness/cluster.ts';
import type { TestDatabase } from '../harness/database.ts';
import { withIds } from '../harness/management-routes.ts';
import { type Find, Needles } from '../harness/needles.ts';
import { ApiContract, type Operation } from '../harness/openapi.ts';
import { newAddress, SignIn as OtpClient } from '../harness/otp-client.ts';
import { type RawAnswer, type RawRequest, send } from '../harness/raw-http.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { signIn } from '../harness/sign-in.ts';
import { createTenant, type Tenant } from '../harness/tenant.ts';
import { basic, leakyRequests, takes } from './leaky-requests.ts';
import { carryOutOidc } from './oidc-operations.ts';

/*
 * Attack: read the logs, the trail, the metrics, the answers of errors, a dump of the database or the disk of its
 * server, and find in them a secret that somebody has shown on the way.
 *
 * Every operation is run so that it succeeds and so that it fails in each way it has, by callers who show their
 * secrets everywhere that a secret goes and in most places where none belongs. Then everything is looked through.
 */

const endOfAccount = 200;
const metricsToken = `metrics-${randomBytes(24).toString('base64url')}`;
/** Stands in names: found wherever data are, it shows that looking there finds something. */
const marker = `marker${randomBytes(6).toString('hex')}`;

let cluster: TestCluster;
let database: TestDatabase;
let server: TestServer;
let contract: ApiContract;
let tenant: Tenant;
const needles = new Needles();
const errorAnswers: { about: string; status: number; text: string }[] = [];

beforeAll(async () => {
  // A Postgres of its own: it is stopped half-way, and its whole disk is read.
  cluster = await startTestCluster({ log_statement: 'none', log_min_error_statement: 'error' });
  const { postgres } = cluster;
  await migrateDatabase({ ownerUrl: postgres.ownerUrl, log: silentLog });
  database = {
    name: 'gatelodge',
    appUrl: postgres.appUrl,
    ownerUrl: postgres.ownerUrl,
    superuserUrl: postgres.databaseUrl('gatelodge', 'gatelodge_root'),
    drop: async () => {},
  };
  server = await startTestServer({ database, env: { GATELODGE_METRICS_TOKEN: metricsToken } });
  contract = await ApiContract.of(server);
  tenant = await createTenant(server, marker);
  collectSecrets();
  await collectPrivateKeys();
});
afterAll(async () => {
  await server.close();
  await cluster.remove();
});

function collectSecrets(): void {
  needles.addSecret('the metrics token', metricsToken);
  needles.addSecret('the master key', server.masterKey);
  needles.addSecret('the master key, raw', Buffer.from(server.masterKey, 'base64url'));
  for (const purpose of secretPurposes) {
    for (const { key, generation } of server.running.services.secrets.generations(purpose))
      needles.addSecret(`${purpose} ${generation}`, key);
  }
  const keys = [server.operator.key, server.demo.key, tenant.key, tenant.sandboxKey, tenant.deletedKey];
  for (const issuer of [tenant.issuer, tenant.sibling, tenant.twin])
    keys.push(issuer.key, issuer.publishableKey, ...issuer.organizations.map(({ key }) => key));
  for (const { id, tokens } of [tenant.issuer, tenant.sibling, tenant.twin])
    addTokens(`the user of ${id}`, tokens);
  for (const { client } of [tenant.issuer, tenant.sibling, tenant.twin]) {
    needles.addSecret(`the secret of ${client.id}`, client.secret);
    needles.addSecret(`the Basic credentials of ${client.id}`, `${client.id}:${client.secret}`);
  }
  for (const { id, secret } of keys) {
    needles.addKey(`the secret of ${id}`, secret);
    needles.addSecret(`the Basic credentials of ${id}`, `${id}:${secret}`);
  }
}

/** Those that issuers sign with: of each its private number. */
async function collectPrivateKeys(): Promise<void> {
  const { secrets } = server.running.services;
  const sealed = await allRows<SealedRow>('select * from gatelodge.signing_keys');
  expect(sealed.length).toBeGreaterThan(3);
  for (const row of sealed) {
    const place = { issuerId: row.issuer_id, id: row.id, algorithm: row.algorithm };
    const key = openSealedKey(secrets, { ...row, secretGeneration: row.secret_generation }, place);
    needles.addSecret(`the private key ${row.id}`, key.d!);
    needles.addSecret(`the private key ${row.id}, raw`, Buffer.from(key.d!, 'base64url'));
  }
}

interface SealedRow extends pg.QueryResultRow {
  id: string;
  issuer_id: string;
  algorithm: SigningAlgorithm;
  sealed: Buffer;
  secret_generation: number;
}

function addTokens(whose: string, { access, refresh }: { access: string; refresh: string }): void {
  needles.addSecret(`the access token of ${whose}`, access);
  needles.addSecret(`the refresh token of ${whose}`, refresh);
}

test('no secret is anywhere but in the one answer that shows it', async () => {
  for (const route of routes) {
    const operation = contract.operation(route.operationId);
    for (const [about, request] of leakyRequests(operation, leaky(operation)))
      await failing(operation, about, request);
  }
  // One of the requests above may have ended it: a deletion takes no body that could be wrong.
  await tenant.api.post('/v1/plans', { name: tenant.planName });
  // Those that end something last, and the trail of the account before the account ends.
  const ordered = [...routes].sort((a, b) => endsWhat(a) - endsWhat(b));
  const ofAccount = ordered.filter((route) => endsWhat(route) < endOfAccount);
  for (const { operationId } of ofAccount) await succeeding(contract.operation(operationId));
  let events = await readTrail(tenant.api);
  const dump = await dumpEverything();
  for (const { operationId } of ordered.slice(ofAccount.length))
    await succeeding(contract.operation(operationId));
  events += await readTrail(server.operator.api);
  const metrics = await readMetrics();
  await failInTheDatabase();
  const dumpOfRest = await dumpEverything();
  const { directory } = await onlyRow<{ directory: string }>(
    "select setting as directory from pg_settings where name = 'data_directory'",
  );
  await cluster.postgres.stop();
  // What is held in memory counts as fresh for a moment longer, and a quick run would be over by then.
  while (server.running.services.freshness.isFresh()) await sleep(50);
  for (const route of routes) {
    const operation = contract.operation(route.operationId);
    await failing(operation, 'while Postgres is away', { path: pathOf(operation), ...bodyOf(operation) });
  }

  const logs = server.logLines.join('');
  const finds: Find[] = [
    ...needles.findIn(logs, 'the logs'),
    ...needles.findIn(events, 'the trail'),
    ...needles.findIn(metrics, 'the metrics'),
    ...errorAnswers.flatMap(({ about, text }) => needles.findIn(text, about)),
    ...Object.entries({ ...dump, rest: Object.values(dumpOfRest).join('\n') }).flatMap(([table, text]) =>
      needles.findIn(text, `the table ${table}`),
    ),
  ];
  expect(finds).toEqual([]);
  const files = await needles.findInFiles(directory);
  expect(files.finds).toEqual([]);

  // Each haystack is one: what may be found in it is found.
  expect(needles.count).toBeGreaterThan(200);
  expect(new Set(errorAnswers.map(({ status }) => status))).toEqual(
    new Set([400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 431, 500, 503]),
  );
  const control = new Needles();
  control.addSecret('the marker', marker);
  for (const text of [events, dump.organizations!, dump.events!])
    expect(control.findIn(text, '')).not.toEqual([]);
  const marked = new Set(
    (await control.findInFiles(directory)).finds.map(
      ({ where }) => where.slice(directory.length + 1).split('/')[0],
    ),
  );
  expect(marked).toEqual(new Set(['base', 'pg_wal']));
  expect(files.bytes).toBeGreaterThan(20_000_000);
  expect(logs).toContain('request failed');
  expect(metrics).toContain('gatelodge_decisions_total');
}, 300_000);

function leaky(operation: Operation) {
  return {
    tenant,
    powerless: server.demo.key,
    path: pathOf(operation),
    credentials: credentialsFor(operation),
  };
}

async function failing(
  operation: Operation,
  about: string,
  { path, ...request }: RawRequest & { path: string },
): Promise<void> {
  const answer = await send(`${server.url}${path}`, { method: operation.method, ...request }).catch(
    // The server may end the connection while a body that is too large is still being sent.
    (error: Error & { code?: string }) => {
      if (error.code === 'EPIPE' || error.code === 'ECONNRESET') return null;
      throw error;
    },
  );
  if (answer !== null) keep(`${operation.operationId}: ${about}`, answer);
}

function keep(about: string, { status, text, headers }: RawAnswer): void {
  if (status >= 400) errorAnswers.push({ about, status, text: `${JSON.stringify(headers)}${text}` });
}

/** Runs an operation so that it works; a creation again under the same key, with another body, and without a key. */
async function succeeding(operation: Operation): Promise<void> {
  if (isOfUser(operation)) return succeedingAsUser(operation);
  if (isOtp(operation)) return succeedingByCode(operation);
  if (operation.operationId.startsWith('oidc.')) {
    const answer = await carryOutOidc(server, tenant, operation.operationId, needles);
    expect(answer?.status ?? 200, `${operation.operationId}: ${answer?.text}`).toBeLessThan(400);
    return;
  }
  if (operation.operationId === 'devMailbox.showMail') return succeedingWithMail(operation);
  const idempotencyKey = `canary-${randomBytes(16).toString('hex')}`;
  needles.addSecret(`the Idempotency-Key of ${operation.operationId}`, idempotencyKey);
  const example = withIds(operation.body?.example, { user_id: tenant.issuer.userId });
  const subject = { key: tenant.issuer.key.secret, explain: true };
  const verifying: Record<string, unknown> = {
    // One that no other operation's example names.
    'plans.create': { ...(example as object), name: 'canary-plan' },
    'keys.verify': subject,
    'keys.verifyBatch': { requests: [subject] },
    'keys.reportLeak': {
      secret: tenant.deletedKey.secret,
      url: `https://${tenant.deletedKey.secret}.example/?found=${encodeURIComponent(tenant.issuer.key.secret)}`,
    },
  };
  const body = verifying[operation.operationId] ?? example;
  const repeated = { 'Idempotency-Key': idempotencyKey };
  const runs: [headers: Record<string, string>, body: unknown][] = takes(operation, 'Idempotency-Key')
    ? [
        [repeated, body],
        [repeated, body],
        [repeated, { ...(body as object), name: 'another' }],
        [{}, body],
      ]
    : [[{}, body]];
  for (const [headers, each] of runs) {
    const answer = await send(`${server.url}${pathOf(operation)}`, {
      method: operation.method,
      headers: { ...credentialsFor(operation), ...headers, 'Content-Type': 'application/json' },
      ...(each !== undefined && { body: JSON.stringify(each) }),
    });
    keep(operation.operationId, answer);
    // Pages of a sign-in that a browser has under way; its secrets have a test of their own (hostile-input.test.ts).
    const isPage = operation.operationId.startsWith('login.');
    if (each === body && headers === runs[0]![0])
      expect(answer.status, `${operation.operationId}: ${answer.text}`).toBeLessThan(isPage ? 405 : 300);
    const made = answer.body?.data;
    const secret = made?.secret_plain ?? made?.api_key?.secret_plain;
    if (secret !== undefined && answer.headers['idempotent-replayed'] === undefined)
      needles.addKey(`the secret that ${operation.operationId} has made`, secret);
    if (typeof made?.secret === 'string' && answer.headers['idempotent-replayed'] === undefined)
      needles.addSecret(`the client secret that ${operation.operationId} has made`, made.secret);
  }
}

/** What a user does by a token of its own. */
function isOfUser({ operationId }: Operation): boolean {
  return /auth\.(me|refresh|logout)$/.test(operationId);
}

/** What an application does by a key of its issuer, for a user who is at the mailbox. */
function isOtp({ operationId }: Operation): boolean {
  return /auth\.(requestOtp|verifyOtp)$/.test(operationId);
}

/** A user of its own each: nobody may ask for two codes in a minute. Codes are too short to be looked for. */
async function succeedingByCode(operation: Operation): Promise<void> {
  const app = new OtpClient(server, {
    headers: credentialsFor(operation),
    ...(operation.path.includes('{') && { issuerId: tenant.issuer.id }),
  });
  const email = newAddress();
  if (operation.operationId.endsWith('requestOtp')) {
    const answer = await app.request(email);
    expect(answer.status, `${operation.operationId}: ${answer.text}`).toBe(200);
    return;
  }
  const { token, refresh_token, device_token } = await app.signIn(email);
  addTokens(operation.operationId, { access: token, refresh: refresh_token });
  needles.addSecret(`the device token of ${operation.operationId}`, device_token);
}

/** Of a mail that there is. */
async function succeedingWithMail(operation: Operation): Promise<void> {
  const app = new OtpClient(server, { headers: { Authorization: `Bearer ${tenant.issuer.key.secret}` } });
  const email = newAddress();
  await app.code(email);
  const [mail] = await app.mailsTo(email);
  const answer = await send(`${server.url}${operation.path.replace(/\{\w+\}/, mail!.id)}`, {
    method: operation.method,
    headers: credentialsFor(operation),
  });
  expect(answer.status, `${operation.operationId}: ${answer.text}`).toBe(200);
}

/** By a session of its own each, since some end theirs. */
async function succeedingAsUser(operation: Operation): Promise<void> {
  const { token: access, refresh_token: refresh } = await signIn(
    server,
    tenant.issuer.id,
    tenant.issuer.userId,
  );
  addTokens(operation.operationId, { access, refresh });
  const isRefresh = operation.operationId.endsWith('refresh');
  const answer = await send(`${server.url}${pathOf(operation)}`, {
    method: operation.method,
    headers: isRefresh ? { 'Content-Type': 'application/json' } : { Authorization: `Bearer ${access}` },
    ...(isRefresh && { body: JSON.stringify({ refresh_token: refresh }) }),
  });
  expect(answer.status, `${operation.operationId}: ${answer.text}`).toBe(200);
  if (isRefresh) {
    const { token, refresh_token } = answer.body as { token: string; refresh_token: string };
    addTokens(`${operation.operationId}, the next`, { access: token, refresh: refresh_token });
  }
}

function credentialsFor(operation: Operation): Record<string, string> {
  const { operationId, path } = operation;
  if (isOfUser(operation)) return { Authorization: `Bearer ${tenant.issuer.tokens.access}` };
  if (operationId === 'health.metrics') return { Authorization: `Bearer ${metricsToken}` };
  if (isOtp(operation) || path.startsWith('/v1/authorize'))
    return { Authorization: `Bearer ${tenant.issuer.key.secret}` };
  const isOperators = path.startsWith('/v1/accounts') || path.startsWith('/dev/');
  return basic(isOperators ? server.operator.key : tenant.key);
}

async function readTrail(api: ApiClient): Promise<string> {
  const pages: string[] = [];
  let cursor: string | null = null;
  do {
    const { status, body, text } = await api.get(
      `/v1/events?limit=100${cursor === null ? '' : `&cursor=${cursor}`}`,
    );
    expect(status, text).toBe(200);
    pages.push(text);
    cursor = body.next_cursor;
  } while (cursor !== null);
  return pages.join('');
}

async function readMetrics(): Promise<string> {
  const { status, text } = await new ApiClient(server.url, null).get('/metrics', {
    Authorization: `Bearer ${metricsToken}`,
  });
  expect(status).toBe(200);
  return text;
}

/** Takes away what the statements of every operation need, so that each fails in the middle. */
async function failInTheDatabase(): Promise<void> {
  const tables = ['accounts', 'issuers', 'organizations', 'users', 'sessions', 'api_keys', 'support_grants'];
  const client = new pg.Client({ connectionString: database.superuserUrl });
  await client.connect();
  await client.query('set search_path = gatelodge');
  for (const table of tables) await client.query(`alter table ${table} rename to ${table}_away`);
  for (const route of routes) {
    const operation = contract.operation(route.operationId);
    await failing(operation, 'with a broken database', {
      path: pathOf(operation),
      headers: { ...credentialsFor(operation), 'Content-Type': 'application/json' },
      ...bodyOf(operation),
    });
  }
  for (const table of tables) await client.query(`alter table ${table}_away rename to ${table}`);
  await client.end();
}

/** Every table as COPY writes it: each column as text, bytes in hexadecimal. And what is in those bytes. */
async function dumpEverything(): Promise<Record<string, string>> {
  const client = new pg.Client({ connectionString: database.superuserUrl });
  await client.connect();
  const { rows: tables } = await client.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'gatelodge'`,
  );
  const dump: Record<string, string> = {};
  for (const { name } of tables) {
    const { rows } = await client.query<{ row: string }>(`select t::text as row from gatelodge.${name} t`);
    const text = rows.map(({ row }) => row).join('\n');
    const bytes = [...text.matchAll(/\\x((?:[0-9a-f]{2}){8,})/g)].map(([, hex]) => Buffer.from(hex!, 'hex'));
    dump[name] = `${text}\n${bytes.map((each) => each.toString('latin1')).join('\n')}`;
    // The same as bytes, where latin1 would turn some into two.
    expect(bytes.flatMap((each) => needles.findIn(each, `the bytes of ${name}`))).toEqual([]);
  }
  await client.query('checkpoint');
  await client.end();
  return dump;
}

async function onlyRow<Row extends pg.QueryResultRow>(sql: string): Promise<Row> {
  return (await allRows<Row>(sql))[0]!;
}

async function allRows<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: database.superuserUrl });
  await client.connect();
  const { rows } = await client.query<Row>(sql);
  await client.end();
  return rows;
}

function pathOf({ path, operationId }: Operation): string {
  const { issuer, accountId, supportGrantId, sandboxKey, planName } = tenant;
  const { id: organization, key: organizationKey, memberId, groupId } = issuer.organizations[1];
  const keyOfIssuer = path.includes('{org_id}') ? organizationKey : issuer.publishableKey;
  const keyOfPath = path.includes('{issuer_id}') ? keyOfIssuer : sandboxKey;
  const filled = path
    .replace('{account_id}', accountId)
    // Of a live issuer there is no mailbox.
    .replace('{issuer_id}', operationId === 'issuers.listSandboxMails' ? tenant.twin.id : issuer.id)
    .replace('{org_id}', organization)
    .replace('{user_id}', issuer.userId)
    .replace('{member_id}', memberId)
    .replace('{group_id}', groupId)
    .replace('{client_id}', issuer.client.id)
    .replace('{session_id}', issuer.sessionId)
    .replace('{key_id}', keyOfPath.id)
    .replace('{grant_id}', supportGrantId)
    .replace('{signing_key_id}', issuer.signingKeyId)
    .replace('{plan_name}', planName)
    .replace('{error_code}', 'not_found')
    .replace('{month}', new Date().toISOString().slice(0, 7));
  // By then its own key has renamed it.
  const { name } = contract.operation('account.update').body!.example as { name: string };
  return operationId === 'accounts.delete' ? `${filled}?name=${name}&force=true` : filled;
}

/** How much of what the others need ends when a route is run. */
function endsWhat({ path, method }: { path: string; method: string }): number {
  const isEnd = path.startsWith('/v1/') && (method === 'DELETE' || /suspend|revoke|disable/.test(path));
  if (!isEnd) return 0;
  return path.startsWith('/v1/accounts')
    ? endOfAccount + Number(method === 'DELETE')
    : 100 - path.split('/').length;
}

function bodyOf(operation: Operation): { body?: string } {
  return operation.body === null ? {} : { body: JSON.stringify(operation.body.example) };
}
