import { afterAll, describe, expect, test, vi } from 'vitest';
import { launchChromium } from '../../test/harness/chromium.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { type RawAnswer, send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { createKey, type TestKey } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});

const basic = ({ id, secret }: Pick<TestKey, 'id' | 'secret'>) => ({
  Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
});
const operator = basic(server.operator.key);

function get(
  path: string,
  headers: Record<string, string> = operator,
  at: TestServer = server,
): Promise<RawAnswer> {
  return send(`${at.url}${path}`, { headers });
}

/** As sign-in does. */
async function queue(to: string, members: Record<string, unknown> = {}): Promise<void> {
  const { database, mails, clock } = server.running.services;
  await database.withAccount(server.operator.accountId, (tx) =>
    mails.queue(tx, {
      accountId: server.operator.accountId,
      issuerId: server.demo.issuerId,
      environment: 'live',
      mail: { to, subject: `To ${to}`, text: '314159 is a code', html: '<p>314159</p>', senderName: null },
      notAfterMs: clock.nowMs() + 600_000,
      subject: { type: 'issuer', id: server.demo.issuerId },
      ...members,
    }),
  );
  mails.wake();
}

const mailsTo = async (to: string) => (await get(`/dev/mailbox.json?to=${encodeURIComponent(to)}`)).body.data;
const whenThere = (to: string) =>
  vi.waitFor(async () => expect((await mailsTo(to)).length).toBeGreaterThan(0), {
    timeout: 10_000,
    interval: 10,
  });

describe('GET /dev/mailbox.json', () => {
  test('200: the mails that were not sent, newest first, to all or to one address in any case', async () => {
    await queue('first@example.com');
    await whenThere('first@example.com');
    await queue('Second@example.com');
    await whenThere('second@EXAMPLE.com');
    const { status, body, headers } = await get('/dev/mailbox.json');
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-store');
    expect(body.data.map(({ to }: { to: string }) => to).slice(0, 2)).toEqual([
      'Second@example.com',
      'first@example.com',
    ]);
    expect(Object.keys(body.data[0])).toEqual(['id', 'to', 'subject', 'text', 'html', 'created_at']);
    expect(await mailsTo('nobody@example.com')).toEqual([]);
    await vi.waitFor(async () => expect(await rows.query('select from mails')).toEqual([]), {
      timeout: 10_000,
    });
  });

  test('200: also shows those of a sandbox issuer, which stay in its own mailbox', async () => {
    const { api } = server.operator;
    const twin = await api.create(`/v1/issuers/${server.demo.issuerId}/sandbox-issuer`);
    await queue('sandbox@example.com', { issuerId: twin.id, environment: 'sandbox' });
    await whenThere('sandbox@example.com');
    const own = await api.get(`/v1/issuers/${twin.id}/sandbox-mailbox`);
    expect(own.body.data.map(({ to }: { to: string }) => to)).toEqual(['sandbox@example.com']);
  });

  test('200: a browser of the developer is no leak of the key', async () => {
    const { result, events } = await rows.eventsOf(() =>
      get('/dev/mailbox.json', { ...operator, 'Sec-Fetch-Site': 'none' }),
    );
    expect([result.status, events]).toEqual([200, []]);
  });
});

describe('404, as for any path that is none', () => {
  const nothing = async () => (await get('/dev/nothing')).body;
  const gone = async (headers: Record<string, string>) => {
    for (const path of ['/dev/mailbox', '/dev/mailbox.json', '/dev/mailbox/mail_0000000000000000000000000']) {
      const answer = await get(path, { ...operator, ...headers });
      expect([answer.status, { ...answer.body, request_id: '' }]).toEqual([
        404,
        { ...(await nothing()), request_id: '' },
      ]);
    }
  };

  // Attack: a page on the web has its name pointed at 127.0.0.1 and asks as itself.
  test.each([
    'evil.example',
    'evil.example:4600',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '10.0.0.1',
    '[::2]',
    'a b',
  ])('for the Host %s', (host) => gone({ Host: host }));

  // Attack: a proxy on this machine lets the world in.
  test.each(['X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'Forwarded', 'Via', 'X-Real-IP'])(
    'for a request that a proxy has passed on, by its %s',
    (name) => gone({ [name]: '127.0.0.1' }),
  );

  // Attack: a page on the web has the browser of a developer who is signed in here ask.
  test.each(['cross-site', 'same-site'])('for a page that is %s', (site) => gone({ 'Sec-Fetch-Site': site }));

  test('in production', async () => {
    const production = await startTestServer({
      nodeOf: server,
      env: {
        GATELODGE_MODE: 'production',
        GATELODGE_PUBLIC_URL: 'https://gatelodge.test',
        GATELODGE_TRUSTED_PROXIES: '127.0.0.2/32',
      },
    });
    for (const path of ['/dev/mailbox', '/dev/mailbox.json']) {
      const answer = await get(path, operator, production);
      expect([answer.status, answer.body.code]).toEqual([404, 'route_not_found']);
    }
    await production.close();
  });
});

describe('for nobody but a key of the operator’s account', () => {
  const paths = ['/dev/mailbox', '/dev/mailbox.json', '/dev/mailbox/mail_0000000000000000000000000'];

  test.each([
    ['no key', {}, 401, 'missing_key'],
    [
      'the key as a bearer token, which a page could send',
      { Authorization: `Bearer ${server.operator.key.secret}` },
      401,
      'invalid_key',
    ],
    [
      'a secret under another id',
      basic({ id: 'key_0000000000000000000000000', secret: server.operator.key.secret }),
      401,
      'invalid_key',
    ],
    [
      'a made-up key',
      basic({ id: server.operator.key.id, secret: `gl_live_sk_${'x'.repeat(40)}` }),
      401,
      'invalid_key',
    ],
    ['the key of an issuer', basic(server.demo.key), 403, 'permission_denied'],
  ])('%s', async (_name, headers, status, code) => {
    for (const path of paths) {
      const answer = await get(path, headers);
      expect([answer.status, answer.body.code]).toEqual([status, code]);
      if (status === 401) expect(answer.headers['www-authenticate']).toContain('Basic');
    }
  });

  test('a customer’s key, one without the permission, a sandbox key and a revoked one', async () => {
    const customer = await createCustomer(server);
    const { api } = server.operator;
    const narrow = await createKey(api, '/v1/api-keys', {
      restrictions: { scopes: ['gatelodge.events:read'] },
    });
    const sandbox = await createKey(api, '/v1/api-keys', { environment: 'sandbox' });
    const revoked = await createKey(api, '/v1/api-keys');
    await api.post(`${revoked.path}/revoke`);
    const asked = async (key: Pick<TestKey, 'id' | 'secret'>) =>
      (await get('/dev/mailbox.json', basic(key))).body.code;
    expect(await Promise.all([customer.key, narrow, sandbox, revoked].map(asked))).toEqual([
      'permission_denied',
      'permission_denied',
      'permission_denied',
      'invalid_key',
    ]);
    expect(await withScopes(api, ['gatelodge.mails:read'])).toBeDefined();
  });
});

describe('GET /dev/mailbox', () => {
  test('200: a page that runs nothing, loads nothing and is in nobody’s frame', async () => {
    const { status, headers } = await get('/dev/mailbox');
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain(`default-src 'none'`);
    expect(policy).toContain(`frame-ancestors 'none'`);
    expect(policy).not.toMatch(/script-src|unsafe/);
    expect(headers).toMatchObject({
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cross-origin-resource-policy': 'same-origin',
    });
  });

  // Attack: a tenant's mail holds a script, to read the others in the developer's browser.
  test('in a browser: the mails are shown, and what is in them is inert', async () => {
    const hostile = `<script>parent.document.title='owned'</script><img src=x onerror="parent.document.title='owned'">`;
    await queue('browser@example.com', {
      mail: {
        to: 'browser@example.com',
        subject: `A subject ${hostile}`,
        text: `314159 ${hostile}`,
        html: `<!doctype html><p id="code" style="color:rgb(1,2,3)">314159</p>${hostile}`,
        senderName: null,
      },
    });
    await whenThere('browser@example.com');
    const browser = await launchChromium();
    try {
      const { id: username, secret: password } = server.operator.key;
      const context = await browser.newContext({ httpCredentials: { username, password } });
      const page = await context.newPage();
      const asked: string[] = [];
      page.on('request', (request) => asked.push(new URL(request.url()).pathname));
      const refused: string[] = [];
      page.on('console', (message) => refused.push(message.text()));
      await page.goto(`${server.url}/dev/mailbox`);
      await page.fill('input[name=to]', 'browser@example.com');
      await page.click('button');
      await page.waitForURL(/to=browser/);
      expect(await page.locator('article').count()).toBe(1);
      expect(await page.locator('h2').textContent()).toBe(`A subject ${hostile}`);
      expect(await page.locator('pre').textContent()).toBe(`314159 ${hostile}`);
      await page.locator('iframe').scrollIntoViewIfNeeded();
      await page.frameLocator('iframe').locator('#code').waitFor();
      const inside = page.frames().find((frame) => frame.url().includes('/dev/mailbox/mail_'))!;
      expect(await inside.evaluate('document.querySelector("#code").textContent')).toBe('314159');
      // The mail's own colours are shown.
      expect(await inside.evaluate('getComputedStyle(document.querySelector("#code")).color')).toBe(
        'rgb(1, 2, 3)',
      );
      expect(await page.title()).toBe('Development mailbox – Gatelodge');
      expect(asked.filter((path) => !path.startsWith('/dev/mailbox') && path !== '/favicon.ico')).toEqual([]);
      // Our own style sheet is none of what was refused.
      expect(await page.evaluate('getComputedStyle(document.body).margin')).toBe('0px');
      await context.close();
    } finally {
      await browser.close();
    }
  });
});
