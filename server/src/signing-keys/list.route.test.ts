import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { everyPermission } from '../../test/harness/tenant.ts';
import { createKey } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const { id } = await api.create('/v1/issuers', { name: 'Acme API' });
const path = `/v1/issuers/${id}/signing-keys`;

describe('200', () => {
  test('an issuer has a key from its creation on, which signs at once', async () => {
    const { body } = await api.get(path);
    expect(body).toMatchObject({
      data: [{ issuer_id: id, algorithm: 'ES256', status: 'current', retires_at: null, expires_at: null }],
      has_more: false,
      next_cursor: null,
    });
    expect(body.data[0].activates_at).toBe(body.data[0].created_at);
    const twin = await api.create(`/v1/issuers/${id}/sandbox-issuer`);
    const ofTwin = (await api.get(`/v1/issuers/${twin.id}/signing-keys`)).body.data;
    expect(ofTwin.length).toBe(1);
    expect(ofTwin[0].public_key).not.toEqual(body.data[0].public_key);
  });

  test('shows no part of a private key, to whatever caller', async () => {
    const ofIssuer = await createKey(api, `/v1/issuers/${id}/api-keys`, {
      restrictions: { scopes: everyPermission },
    });
    for (const caller of [api, api.as(ofIssuer)]) {
      const { text, body } = await caller.get(path);
      expect(text).not.toMatch(/"(d|p|q|dp|dq|qi|k|oth|sealed|secret_generation)":/);
      expect(body.data.length).toBeGreaterThan(0);
    }
  });

  test('newest first, page by page', async () => {
    for (let round = 0; round < 3; round++) {
      await api.create(`${path}/rotate`);
      clock.advance(930);
    }
    const all = (await api.get(path)).body.data.map((key: { id: string }) => key.id);
    expect(all.length).toBe(4);
    expect(all).toEqual([...all].sort().reverse());
    const paged: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const { body } = await api.get(`${path}?limit=1${query}`);
      paged.push(...body.data.map((key: { id: string }) => key.id));
      cursor = body.next_cursor;
    } while (cursor !== null);
    expect(paged).toEqual(all);
  });

  test('tells of a key that is damaged, without its public part', async () => {
    const broken = await api.create('/v1/issuers', { name: 'broken' });
    await rows.query(
      'update signing_keys set sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1) where issuer_id = $1',
      [broken.id],
    );
    const { status, body } = await api.get(`/v1/issuers/${broken.id}/signing-keys`);
    expect([status, body.data[0].public_key]).toEqual([200, null]);
  });
});

test('422 for a query that there is none of', async () => {
  expect((await api.get(`${path}?sort=name`)).status).toBe(422);
});
