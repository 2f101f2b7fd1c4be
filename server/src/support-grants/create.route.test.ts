import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { managementPermissions } from '../scopes/scope.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
const customer = await createCustomer(server);
const path = '/v1/account/support-grants';
afterAll(async () => {
  await rows.close();
  await server.close();
});

describe('201', () => {
  test('a grant holds for a day unless it says otherwise, and is an event', async () => {
    const { result: answer, events } = await rows.eventsOf(() =>
      customer.api.post(path, { reason: 'Ticket 4711' }),
    );
    const { data } = answer.body;
    expect(answer.status).toBe(201);
    expect(data).toEqual({
      id: expect.stringMatching(/^sup_[0-9a-z]{25}$/),
      account_id: customer.id,
      reason: 'Ticket 4711',
      status: 'active',
      created_by: { type: 'api_key', id: customer.key.id },
      created_at: '2026-11-21T12:00:00.000Z',
      expires_at: '2026-11-22T12:00:00.000Z',
      revoked_at: null,
      last_used_hour: null,
    });
    expect(answer.headers.get('Location')).toBe(`${path}/${data.id}`);
    expect(answer.headers.get('ETag')).toBe('"1"');
    expect((await customer.api.get(`${path}/${data.id}`)).body).toEqual(answer.body);
    expect(events).toEqual([
      expect.objectContaining({
        account_id: customer.id,
        type: 'support-grant.created',
        actor: expect.objectContaining({ type: 'api_key', id: customer.key.id }),
        subject_type: 'support_grant',
        subject_id: data.id,
        environment: 'live',
        data: { reason: 'Ticket 4711', expires_at: '2026-11-22T12:00:00.000Z' },
      }),
    ]);
  });

  test.each([300, 604_800])('it may hold for %d seconds', async (seconds) => {
    const { created_at, expires_at } = await customer.api.create(path, {
      reason: 'x',
      expires_in_seconds: seconds,
    });
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(seconds * 1000);
  });

  test('the same request under one Idempotency-Key makes one grant', async () => {
    const before = await rows.count('support_grants');
    const headers = { 'Idempotency-Key': 'once' };
    const first = await customer.api.post(path, { reason: 'x' }, headers);
    clock.advance(60);
    const second = await customer.api.post(path, { reason: 'x' }, headers);
    expect([second.status, second.text]).toEqual([201, first.text]);
    expect(second.headers.get('Idempotent-Replayed')).toBe('true');
    expect(await rows.count('support_grants')).toBe(before + 1);
  });
});

describe('403', () => {
  // The attack: a key that is not the account's own, or was not given this, opens the account to the operator.
  test('for keys of issuers and organizations, and for keys without the permission', async () => {
    const issuer = await customer.api.create('/v1/issuers', { name: 'Shop' });
    const organization = await customer.api.create(`/v1/issuers/${issuer.id}/organizations`, { name: 'T' });
    const keys = `/v1/issuers/${issuer.id}`;
    const others = managementPermissions.filter(
      (permission) =>
        permission !== 'gatelodge.support-grants:write' && !permission.startsWith('gatelodge.accounts'),
    );
    const all = [...others, 'gatelodge.support-grants:write'];
    const before = await rows.snapshot();
    const callers = [
      await withScopes(customer.api, all, `${keys}/api-keys`),
      await withScopes(customer.api, all, `${keys}/organizations/${organization.id}/api-keys`),
      await withScopes(customer.api, others),
    ];
    for (const api of callers) {
      const answer = await api.post(path, { reason: 'x' });
      expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
    }
    expect((await rows.snapshot()).support_grants).toBe(before.support_grants);
  });

  // The attack: a sandbox key, which half the company has, opens live data.
  test('for a sandbox key', async () => {
    const sandbox = customer.api.as(
      await createKey(customer.api, '/v1/api-keys', { environment: 'sandbox' }),
    );
    const answer = await sandbox.post(path, { reason: 'x' });
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
  });
});

test('409 for the operator’s own account, which needs no grant', async () => {
  const { result: answer, events } = await rows.eventsOf(() =>
    server.operator.api.post(path, { reason: 'x' }),
  );
  expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
  expect(events).toEqual([]);
});

describe('422', () => {
  test.each([
    ['no reason', {}, 'reason', 'required'],
    ['an empty reason', { reason: '' }, 'reason', 'too_small'],
    ['white space for a reason', { reason: ' \n' }, 'reason', 'invalid'],
    ['a reason too long', { reason: 'x'.repeat(501) }, 'reason', 'too_big'],
    ['less than five minutes', { expires_in_seconds: 299 }, 'expires_in_seconds', 'too_small'],
    ['more than a week', { expires_in_seconds: 604_801 }, 'expires_in_seconds', 'too_big'],
    ['part of a second', { expires_in_seconds: 300.5 }, 'expires_in_seconds', 'invalid_type'],
    ['a text for a number', { expires_in_seconds: '3600' }, 'expires_in_seconds', 'invalid_type'],
    ['forever', { expires_in_seconds: null }, 'expires_in_seconds', 'invalid_type'],
    // The attack: the body names another account, or an end that is not bounded.
    ['another account', { account_id: server.operator.accountId }, 'account_id', 'unknown_member'],
    ['an end', { expires_at: '9999-01-01T00:00:00Z' }, 'expires_at', 'unknown_member'],
  ])('%s', async (_name, members, at, code) => {
    const body = 'reason' in members || code === 'required' ? members : { reason: 'x', ...members };
    const answer = await customer.api.post(path, body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors).toContainEqual(expect.objectContaining({ path: at, code }));
  });
});
