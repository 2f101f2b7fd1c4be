import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Needles } from '../../test/harness/needles.ts';
import { type RawAnswer, type RawRequest, send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { SqlLog } from '../../test/harness/sql-log.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
const sql = new SqlLog(server);
afterAll(async () => {
  sql.close();
  await rows.close();
  await server.close();
});
// Each test has the whole of its minute.
beforeEach(() => clock.advance(60));

const path = '/v1/keys/report-leak';
const accepted = '{"data":{"status":"accepted"}}';
const json = { 'Content-Type': 'application/json' };

function report(body: unknown, request: RawRequest = {}, node: TestServer = server): Promise<RawAnswer> {
  return send(node.url + path, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...request,
    headers: { ...json, ...request.headers },
  });
}

/** Every header but those that differ from one answer to the next, whatever is asked. */
function visible({ status, headers, headerNames, text }: RawAnswer) {
  const { date: _date, 'x-request-id': _id, ...others } = headers;
  return { status, others, headerNames, text };
}

function whenAllAreSeenTo(): Promise<void> {
  return vi.waitFor(
    async () => {
      const [due] = await rows.query<{ count: number }>(
        'select count(*)::int as count from leak_reports where due_at <= $1',
        [clock.now()],
      );
      expect(due?.count).toBe(0);
    },
    { timeout: 10_000, interval: 20 },
  );
}

/** Secrets of every kind, under a name each. */
async function secretsOfEveryKind(): Promise<[string, string][]> {
  const { api } = await createCustomer(server);
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const living = await issuer.createKey();
  const publishable = await issuer.createKey({ kind: 'publishable' });
  const revoked = await issuer.createKey();
  succeeded(await api.post(`${revoked.path}/revoke`));
  const deleted = await issuer.createKey();
  succeeded(await api.delete(deleted.path));
  const elsewhere = await startTestServer();
  const foreign = elsewhere.operator.key.secret;
  await elsewhere.close();
  const { secret } = living;
  return [
    ['a secret key', secret],
    ['a publishable key', publishable.secret],
    ['a revoked key', revoked.secret],
    ['a key that is gone', deleted.secret],
    ['a key of another installation', foreign],
    ['a key with a wrong check', `${secret.slice(0, -1)}${secret.endsWith('a') ? 'b' : 'a'}`],
    ['a key cut short', secret.slice(0, -3)],
    ['garbage', 'garbage'],
    ['text of another kind', '💥'.repeat(512)],
    ['white space', ' \n\t'],
  ];
}

describe('202', () => {
  test('is the same answer, byte for byte and by the same statements, whatever was reported', async () => {
    // The attack: somebody with a list of guesses learns which of them are keys, or which still work.
    const secrets = await secretsOfEveryKind();
    await whenAllAreSeenTo();
    for (const url of [undefined, 'https://example.com/pastes/42']) {
      const answers = new Set<string>();
      const statements = new Set<string>();
      for (const [, secret] of secrets) {
        sql.clear();
        answers.add(JSON.stringify(visible(await report({ secret, ...(url && { url }) }))));
        statements.add(JSON.stringify(sql.statements));
      }
      expect(answers.size).toBe(1);
      expect(statements.size).toBe(1);
      expect([...statements][0]).toMatch(/^\["insert into \\"leak_reports\\" [^;]*"\]$/);
      const { status, text, others } = JSON.parse([...answers][0]!);
      expect([status, text]).toEqual([202, accepted]);
      expect(others).toMatchObject({ 'cache-control': 'no-store', vary: 'Origin' });
    }
  });

  test('needs no credential, and looks at none', async () => {
    const key = await createKey(server.operator.api, '/v1/api-keys');
    for (const headers of [
      { Authorization: `Bearer ${key.secret}` },
      { Authorization: 'Bearer nonsense' },
      { 'X-API-Key': key.secret },
      { 'Idempotency-Key': 'one two', Cookie: 'a=b' },
    ]) {
      const answer = await report({ secret: 'garbage' }, { headers });
      expect([answer.status, answer.text]).toEqual([202, accepted]);
      expect(answer.headers).not.toHaveProperty('idempotent-replayed');
    }
  });

  test('is read by a page on any origin, without its cookies', async () => {
    const origin = 'https://scanner.example';
    const answer = await report({ secret: 'garbage' }, { headers: { Origin: origin } });
    expect(answer.headers['access-control-allow-origin']).toBe(origin);
    expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
    const preflight = await send(server.url + path, {
      method: 'OPTIONS',
      headers: {
        Origin: origin,
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'content-type',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers['access-control-allow-headers']).toBe('content-type');
  });

  test('names the request as the caller does', async () => {
    const answer = await report({ secret: 'garbage' }, { headers: { 'X-Request-Id': 'scan-1' } });
    expect(answer.headers['x-request-id']).toBe('scan-1');
  });
});

describe('what is malformed', () => {
  const secret = server.operator.key.secret;
  test.each<[number, string, unknown, RawRequest?]>([
    [400, 'malformed_json', `{"secret":"${secret}"`],
    [400, 'malformed_json', ''],
    [413, 'body_too_large', JSON.stringify({ secret: secret.repeat(6_000) })],
    [415, 'unsupported_media_type', `secret=${secret}`, { headers: { 'Content-Type': 'text/plain' } }],
    [422, 'invalid_request', {}],
    [422, 'invalid_request', { secret: '' }],
    [422, 'invalid_request', { secret: secret.repeat(10) }],
    [422, 'invalid_request', { secret: [secret] }],
    [422, 'invalid_request', { secret: `${secret}\u0000` }],
    [422, 'invalid_request', { secret, url: { [secret]: secret } }],
    [422, 'invalid_request', { secret, url: secret.repeat(60) }],
    [422, 'invalid_request', { secret, [secret]: secret }],
    [422, 'invalid_request', [secret]],
    [422, 'invalid_request', JSON.stringify(secret)],
  ])('%i %s, without the secret', async (status, code, body, request) => {
    const { queued } = server.running.services.endpoints.reportLeak.counts;
    const answer = await report(body, request);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.text).not.toContain(secret.slice(-40, -10));
    expect(server.logLines.join('')).not.toContain(secret.slice(-40, -10));
    expect(server.running.services.endpoints.reportLeak.counts.queued).toBe(queued);
  });

  test('405: by another method, with the one that is taken', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await send(server.url + path, { method });
      expect([method, answer.status, answer.headers.allow]).toEqual([method, 405, 'POST']);
    }
  });
});

describe('what is kept', () => {
  // The attack: somebody reads the table, a dump of it, the trail or the log, and has a key that may still work.
  test('is nowhere the secret, however the URL spells it', async () => {
    const { api } = await createCustomer(server);
    succeeded(await api.patch('/v1/account', { leak_revocation_delay_seconds: 3600 }));
    const needles = new Needles();
    const hex = (text: string) => Array.from(text, (c) => `%${c.charCodeAt(0).toString(16)}`).join('');
    for (const spell of [
      (text: string) => text,
      hex,
      (text: string) => hex(text).toUpperCase(),
      (text: string) => hex(hex(text)),
      (text: string) => `${text.slice(0, 20)}${hex(text.slice(20, 30))}${text.slice(30)}`,
    ]) {
      const key = await createKey(api, '/v1/api-keys');
      needles.addKey(`the secret of ${key.id}`, key.secret);
      const url = `https://${key.secret}.example/${spell(key.secret)}?k=${spell(key.secret)}#${spell(key.secret)}`;
      expect((await report({ secret: key.secret, url })).status).toBe(202);
      const [event] = await vi.waitFor(async () => {
        const told = await rows.query<{ data: { reported_url: string } }>(
          `select data from events where subject_id = $1 and type = 'api-key.leak_reported'`,
          [key.id],
        );
        expect(told.length).toBe(1);
        return told;
      });
      expect(event!.data.reported_url).toMatch(/^https:/);
      expect(decodeURIComponent(decodeURIComponent(event!.data.reported_url))).not.toContain(key.secret);
    }
    const table = await rows.query('select *, encode(digest, $1) as hex from leak_reports', ['hex']);
    expect(table.length).toBe(5);
    const trail = await rows.query('select * from events');
    const metrics = await fetch(`${server.url}/metrics`, {
      headers: { Authorization: 'Bearer metrics-token-of-the-tests-0123456789' },
    });
    for (const [where, haystack] of [
      ['the reports', JSON.stringify(table)],
      ['the trail', JSON.stringify(trail)],
      ['the log', server.logLines.join('')],
      ['the metrics', await metrics.text()],
    ] as const)
      expect(needles.findIn(haystack, where)).toEqual([]);
    await rows.query('delete from leak_reports');
  });
});

describe('an address that reports too much', () => {
  const countsOf = (node: TestServer) => node.running.services.endpoints.reportLeak.counts;

  test('gets the same answer, and nothing is kept of it', async () => {
    // The attack: a flood of reports, to fill the database or to keep others from reporting.
    const before = countsOf(server);
    const answers = new Set<string>();
    const { api } = await createCustomer(server);
    for (let index = 0; index < 100; index++)
      answers.add(JSON.stringify(visible(await report({ secret: `garbage ${index}` }))));
    const late = await createKey(api, '/v1/api-keys');
    sql.clear();
    for (const secret of [late.secret, 'garbage'])
      answers.add(JSON.stringify(visible(await report({ secret }))));
    expect(answers.size).toBe(1);
    expect(sql.statements).toEqual([]);
    const after = countsOf(server);
    expect([after.queued - before.queued, after.capped - before.capped]).toEqual([100, 2]);
    const metrics = await fetch(`${server.url}/metrics`, {
      headers: { Authorization: 'Bearer metrics-token-of-the-tests-0123456789' },
    });
    expect(await metrics.text()).toContain(
      `gatelodge_leak_reports_total{outcome="capped"} ${after.capped}\n`,
    );
    await whenAllAreSeenTo();
    expect((await api.get(late.path)).body.data.status).toBe('active');
    clock.advance(60);
    expect((await report({ secret: late.secret })).status).toBe(202);
    await vi.waitFor(async () => expect((await api.get(late.path)).body.data.status).toBe('revoked'));
  });

  test('is the same one under each of its spellings, in all of its /64, and whatever it forwards', async () => {
    const behindProxy = await startTestServer({
      nodeOf: server,
      clock,
      env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' },
    });
    const from = (forwarded: string) =>
      report(
        { secret: 'garbage' },
        { headers: { 'X-Forwarded-For': forwarded, 'X-Forwarded-Proto': 'https' } },
        behindProxy,
      );
    const addresses = [
      ...['2001:db8::5', '2001:DB8::5', '2001:db8:0:0:0:0:0:5', '2001:0db8::0005', '[2001:db8::5]:443'],
      ...['2001:db8::0.0.0.5', '2001:db8::5%eth0', '198.51.100.9, 2001:db8::5'],
      ...Array.from({ length: 42 }, (_, index) => `2001:db8:0:0:${index.toString(16)}::1`),
      ...Array.from({ length: 50 }, (_, index) => `10.0.0.${index}, 2001:db8:0:0::${index.toString(16)}`),
    ];
    for (const address of addresses) expect((await from(address)).status).toBe(202);
    expect(countsOf(behindProxy).capped).toBe(0);
    await from('2001:db8:0:0:ffff::');
    expect(countsOf(behindProxy)).toEqual({ queued: 100, capped: 1 });
    await from('2001:db8:0:1::5');
    expect(countsOf(behindProxy)).toEqual({ queued: 101, capped: 1 });

    // IPv4, and what an IPv6 socket calls it.
    for (let index = 0; index < 100; index++)
      await from(index % 2 === 0 ? '198.51.100.7' : '::ffff:198.51.100.7');
    await from('::ffff:c633:6407');
    expect(countsOf(behindProxy)).toEqual({ queued: 201, capped: 2 });
    await behindProxy.close();
  });

  test('does not hide behind a made-up X-Forwarded-For', async () => {
    const before = countsOf(server);
    for (let index = 0; index < 101; index++)
      await report(
        { secret: 'garbage' },
        { headers: { 'X-Forwarded-For': `198.51.100.${index}`, 'X-Real-IP': `198.51.100.${index}` } },
      );
    expect(countsOf(server).capped - before.capped).toBe(1);
  });
});
