import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
const { api, key } = await createCustomer(server);
afterAll(async () => {
  await rows.close();
  await server.close();
});

const path = '/v1/account/support-grants';
const make = async (): Promise<string> =>
  (await api.create(path, { reason: 'x', expires_in_seconds: 300 })).id;
const pathOf = (id: string) => `${path}/${id}/revoke`;

describe('200', () => {
  test('revokes at once, and is an event', async () => {
    const id = await make();
    const { result: answer, events } = await rows.eventsOf(() => api.post(pathOf(id)));
    expect(answer.status).toBe(200);
    expect(answer.body.data).toMatchObject({ id, status: 'revoked', revoked_at: clock.now().toISOString() });
    expect(answer.headers.get('ETag')).toBe('"2"');
    expect(events).toEqual([
      expect.objectContaining({
        type: 'support-grant.revoked',
        subject_type: 'support_grant',
        subject_id: id,
        actor: expect.objectContaining({ type: 'api_key', id: key.id }),
      }),
    ]);
  });

  test('changes nothing the second time, also with 20 at once', async () => {
    const id = await make();
    const { result: answers, events } = await rows.eventsOf(() =>
      Promise.all(Array.from({ length: 20 }, () => api.post(pathOf(id)))),
    );
    clock.advance(1);
    answers.push(await api.post(pathOf(id)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(events).toHaveLength(1);
  });

  test('revokes an expired one for good as well', async () => {
    const id = await make();
    clock.advance(300);
    expect((await api.post(pathOf(id))).body.data.status).toBe('revoked');
  });
});

describe('403', () => {
  test('for a key that may only read', async () => {
    const reader = await withScopes(api, ['gatelodge.support-grants:read']);
    const answer = await reader.post(pathOf(await make()));
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });

  test('for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const answer = await sandbox.post(pathOf(await make()));
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
  });
});

// The attack: another account takes away the help that this one has asked for.
test('404 for a grant of another account as for one that does not exist', async () => {
  const stranger = await createCustomer(server);
  const headers = { 'X-Request-Id': 'the-same' };
  const id = await make();
  const theirs = await stranger.api.post(pathOf(id), undefined, headers);
  const missing = await stranger.api.post(pathOf(newId(idPrefixes.supportGrant)), undefined, headers);
  expect([theirs.status, theirs.text]).toEqual([missing.status, missing.text]);
  expect([theirs.status, theirs.body.code]).toEqual([404, 'not_found']);
  expect((await api.get(`${path}/${id}`)).body.data.status).toBe('active');
});

test('412 at another version than If-Match names', async () => {
  const id = await make();
  const stale = await api.post(pathOf(id), undefined, { 'If-Match': '"2"' });
  expect([stale.status, stale.body.code]).toEqual([412, 'precondition_failed']);
  expect((await api.post(pathOf(id), undefined, { 'If-Match': '"1"' })).status).toBe(200);
});
