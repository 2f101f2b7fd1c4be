import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const twinOf = (id: string) => api.post(`/v1/issuers/${id}/sandbox-issuer`);

describe('201', () => {
  test('makes an issuer of its own with the profile and the publishable scopes of the live one', async () => {
    const live = await api.create('/v1/issuers', { name: 'Acme', publishable_scopes: ['posts:read'] });
    const profile = succeeded(await api.put(`/v1/issuers/${live.id}/key-profile`, { preset: 'otp' })).body
      .data;
    const before = await api.get(`/v1/issuers/${live.id}`);
    const { result: answer, events } = await rows.eventsOf(() => twinOf(live.id));
    expect(answer.status).toBe(201);
    // The live one's answer names its twin from now on, so what was read before is out of date.
    const after = await api.get(`/v1/issuers/${live.id}`);
    expect(after.headers.get('ETag')).not.toBe(before.headers.get('ETag'));
    const twin = answer.body.data;
    expect(twin).toMatchObject({
      name: 'Acme (sandbox)',
      environment: 'sandbox',
      status: 'active',
      publishable_scopes: ['posts:read'],
      sandbox_issuer_id: null,
      sandbox_of: live.id,
    });
    expect((await api.get(`/v1/issuers/${twin.id}/key-profile`)).body.data).toEqual(profile);
    expect((await api.get(`/v1/issuers/${live.id}`)).body.data.sandbox_issuer_id).toBe(twin.id);
    expect(events).toMatchObject([
      {
        type: 'issuer.created',
        environment: 'sandbox',
        issuer_id: twin.id,
        subject_id: twin.id,
        actor: { id: key.id },
        data: { sandbox_of: live.id },
      },
    ]);
    // What happens to one of the two afterwards is not the other's affair.
    succeeded(await api.patch(`/v1/issuers/${live.id}`, { publishable_scopes: [] }));
    expect((await api.get(`/v1/issuers/${twin.id}`)).body.data.publishable_scopes).toEqual(['posts:read']);
  });

  test.each(['x'.repeat(200), `${'x'.repeat(189)}😀😀`, '😀'.repeat(100)])(
    // Cut where a character is two halves, a name would be text that Postgres refuses.
    'is named after the live one also where that name is as long as a name can be',
    async (name) => {
      const live = await api.create('/v1/issuers', { name });
      const answer = await twinOf(live.id);
      expect(answer.status).toBe(201);
      expect(answer.body.data.name).toMatch(/ \(sandbox\)$/);
      expect(succeeded(await api.patch(`/v1/issuers/${answer.body.data.id}`, {})).status).toBe(200);
    },
  );

  test('50 at once make one twin, and all are told the same', async () => {
    const live = await api.create('/v1/issuers', { name: 'x' });
    const { result: answers, events } = await rows.eventsOf(() => atOnce(50, () => twinOf(live.id)));
    expect(answers.filter(({ status }) => status === 201).length).toBe(1);
    expect(answers.filter(({ status }) => status === 200).length).toBe(49);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(events.length).toBe(1);
    expect((await rows.query('select 1 from issuers where twin_of = $1', [live.id])).length).toBe(1);
  });
});

describe('200', () => {
  test('asked for again it is the one there is, suspended or renamed as it may be', async () => {
    const live = await api.create('/v1/issuers', { name: 'x' });
    const { id } = (await twinOf(live.id)).body.data;
    succeeded(await api.patch(`/v1/issuers/${id}`, { name: 'mine' }));
    succeeded(await api.post(`/v1/issuers/${id}/suspend`));
    const before = await rows.snapshot();
    const answer = await twinOf(live.id);
    expect([answer.status, answer.body.data]).toMatchObject([200, { id, name: 'mine', status: 'suspended' }]);
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('409', () => {
  test('a sandbox issuer has no twin', async () => {
    const live = await api.create('/v1/issuers', { name: 'x' });
    const twin = (await twinOf(live.id)).body.data;
    const plain = await api.create('/v1/issuers', { name: 'x', environment: 'sandbox' });
    const before = await rows.snapshot();
    for (const { id } of [twin, plain]) {
      const answer = await twinOf(id);
      expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
    }
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('404', () => {
  test('for a sandbox key, which sees no live issuer', async () => {
    const live = await api.create('/v1/issuers', { name: 'x' });
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const before = await rows.snapshot();
    expect((await sandbox.post(`/v1/issuers/${live.id}/sandbox-issuer`)).status).toBe(404);
    expect(await rows.snapshot()).toEqual(before);
  });
});
