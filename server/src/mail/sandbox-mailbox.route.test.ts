import { afterAll, describe, expect, test, vi } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { rotateInstallationSecret } from '../secrets/secret-rotation.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
const customer = await createCustomer(server);
const { api } = customer;
const live = await api.create('/v1/issuers', { name: 'Acme' });
const twin = await api.create(`/v1/issuers/${live.id}/sandbox-issuer`);
const path = `/v1/issuers/${twin.id}/sandbox-mailbox`;
afterAll(async () => {
  await rows.close();
  await server.close();
});

/** As sign-in does. */
async function queue(to: string, members: Record<string, unknown> = {}): Promise<void> {
  const { database, mails } = server.running.services;
  await database.withAccount(customer.id, (tx) =>
    mails.queue(tx, {
      accountId: customer.id,
      issuerId: twin.id,
      environment: 'sandbox',
      mail: {
        to,
        subject: `Mail to ${to}`,
        text: '314159 is a code',
        html: '<p>314159</p>',
        senderName: null,
      },
      notAfterMs: clock.nowMs() + 600_000,
      subject: { type: 'issuer', id: twin.id },
      ...members,
    }),
  );
}

const addressesIn = (answer: { body: { data: { to: string }[] } }) => answer.body.data.map(({ to }) => to);

describe('200', () => {
  test('shows what was queued, as it would have been sent, newest first and in pages', async () => {
    for (let count = 0; count < 5; count++) await queue(`page-${count}@example.com`);
    const first = await api.get(`${path}?limit=2`);
    expect(first.body).toMatchObject({
      data: [
        {
          id: expect.stringMatching(/^mail_/),
          to: 'page-4@example.com',
          subject: 'Mail to page-4@example.com',
          text: '314159 is a code',
          html: '<p>314159</p>',
          created_at: clock.now().toISOString(),
        },
        { to: 'page-3@example.com' },
      ],
      has_more: true,
    });
    const second = await api.get(`${path}?limit=2&cursor=${first.body.next_cursor}`);
    expect(addressesIn(second)).toEqual(['page-2@example.com', 'page-1@example.com']);
  });

  test('until a day is over, and then it is gone for good', async () => {
    await queue('old@example.com');
    clock.advance(86_399);
    await queue('new@example.com');
    expect(addressesIn(await api.get(path))).toContain('old@example.com');
    clock.advance(2);
    expect(addressesIn(await api.get(path))).toEqual(['new@example.com']);
    const gone = async () => (await rows.query('select from mails')).length;
    await vi.waitFor(async () => expect(await gone()).toBe(1), { timeout: 30_000, interval: 100 });
  }, 60_000);

  test('shows nothing of a mail that nobody was to get', async () => {
    await queue('withheld@example.com', { isWithheld: true });
    expect(addressesIn(await api.get(path))).not.toContain('withheld@example.com');
  });

  test('to a sandbox key, and to a key of the issuer with the permission', async () => {
    await queue('readable@example.com');
    const sandbox = await createKey(api, '/v1/api-keys', { environment: 'sandbox' });
    const own = await withScopes(api, ['gatelodge.mails:read'], `/v1/issuers/${twin.id}/api-keys`);
    for (const caller of [api.as(sandbox), own])
      expect(addressesIn(await caller.get(path))).toContain('readable@example.com');
  });
});

describe('with an address', () => {
  test('shows the mails to it alone, in whichever spelling, in pages', async () => {
    const to = 'Searched@Example.com';
    for (let count = 0; count < 3; count++) {
      await queue(to);
      await queue('other@example.com');
    }
    const query = `to=${encodeURIComponent('searched@example.com')}&limit=2`;
    const first = await api.get(`${path}?${query}`);
    expect(addressesIn(first)).toEqual([to, to]);
    const rest = await api.get(`${path}?${query}&cursor=${first.body.next_cursor}`);
    expect([addressesIn(rest), rest.body.has_more]).toEqual([[to], false]);
    // A cursor goes on where it came from.
    expect((await api.get(`${path}?limit=2&cursor=${first.body.next_cursor}`)).status).toBe(422);
  });

  test('shows nothing for one without mails, and everything for an empty one', async () => {
    await queue('somebody@example.com');
    for (const to of ['nobody@example.com', 'no%20address', 'some%25'])
      expect(addressesIn(await api.get(`${path}?to=${to}`))).toEqual([]);
    expect(addressesIn(await api.get(`${path}?to=`))).toContain('somebody@example.com');
  });

  test('finds what was queued before the secret of mails was rotated', async () => {
    const { pool, secrets } = server.running.services;
    await queue('rotated@example.com');
    await rotateInstallationSecret(pool, secrets.masterKey, 'mail');
    await rows.query(`update installation_secrets set created_at = created_at - interval '1 hour'`);
    await secrets.reload();
    expect(secrets.current('mail').generation).toBe(2);
    await queue('rotated@example.com');
    expect(addressesIn(await api.get(`${path}?to=rotated@example.com`))).toHaveLength(2);
  });

  // Attack: whoever has a copy of the database tries addresses until their digests are found in it.
  test('leaves nothing in the database by which an address could be told without the secret', async () => {
    const other = await api.create('/v1/issuers', { name: 'Other', environment: 'sandbox' });
    await queue('digest@example.com');
    await queue('digest@example.com', { issuerId: other.id });
    await queue('digest@example.com', { issuerId: live.id, environment: 'live' });
    const found = await rows.query<{ recipient: Buffer | null }>(
      'select recipient from mails order by id desc limit 3',
    );
    const [ofLive, ofOther, own] = found.map(({ recipient }) => recipient?.toString('hex') ?? null);
    expect(ofLive).toBeNull();
    expect(ofOther).not.toBe(own);
  });
});

describe('403', () => {
  test('without the permission', async () => {
    const other = await withScopes(api, ['gatelodge.events:read']);
    expect((await other.get(path)).body.code).toBe('permission_denied');
  });
});

describe('404', () => {
  // Attack: the codes in another tenant's mailbox.
  test('for another account’s sandbox issuer', async () => {
    const other = await createCustomer(server);
    await queue('private@example.com');
    const answer = await other.api.get(path);
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    expect(answer.text).not.toContain('private');
  });

  test('for a live issuer to a sandbox key, which does not see it', async () => {
    const sandbox = await createKey(api, '/v1/api-keys', { environment: 'sandbox' });
    const answer = await api.as(sandbox).get(`/v1/issuers/${live.id}/sandbox-mailbox`);
    expect(answer.status).toBe(404);
  });
});

describe('409', () => {
  test('for a live issuer, whose mails are sent', async () => {
    const answer = await api.get(`/v1/issuers/${live.id}/sandbox-mailbox`);
    expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
  });
});

test('in production it is kept as well, also where there is no mail server', async () => {
  const production = await startTestServer({
    nodeOf: server,
    clock,
    env: { GATELODGE_MODE: 'production', GATELODGE_PUBLIC_URL: 'https://gatelodge.test' },
  });
  const { database, mails } = production.running.services;
  const mail = { to: 'a@example.com', subject: 's', text: '1', html: '', senderName: null };
  const order = {
    accountId: customer.id,
    mail,
    notAfterMs: clock.nowMs() + 1,
    subject: { type: 'issuer', id: twin.id },
  } as const;
  const queued = (issuerId: string, environment: 'live' | 'sandbox') =>
    database.withAccount(customer.id, (tx) => mails.queue(tx, { ...order, issuerId, environment }));
  await queued(twin.id, 'sandbox');
  // What would have to be sent is refused, in words that an operator understands.
  await expect(queued(live.id, 'live')).rejects.toMatchObject({
    code: 'unavailable',
    detail: expect.stringContaining('SMTP_URL'),
    headers: { 'Retry-After': '60' },
  });
  await production.close();
  expect(production.logLines.filter((line) => line.includes('There is no SMTP_URL')).length).toBe(2);
  expect(addressesIn(await api.get(path))).toContain('a@example.com');
});
