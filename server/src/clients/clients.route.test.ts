import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const path = `${issuer.path}/clients`;
const callback = 'https://app.example.com/callback';

async function newClient(members: object = {}, openid: object = {}) {
  const settings = { openid: { redirect_uris: [callback], ...openid } };
  const client = await api.create(path, { name: 'App', settings, ...members });
  return { ...client, path: `${path}/${client.id}` };
}

describe('a list', () => {
  test('is paged, sorted, searched and filtered', async () => {
    const own = await TestIssuer.create(server, {}, {}, api);
    const at = `${own.path}/clients`;
    const settings = { openid: { redirect_uris: [callback] } };
    const web = await api.create(at, { name: 'Beta web', type: 'first_party', settings });
    const page = await api.create(at, { name: 'alpha page', confidential: false, settings });
    const job = await api.create(at, {
      name: 'Gamma_job',
      settings: { openid: { application_type: 'm2m' } },
    });
    succeeded(await api.post(`${at}/${job.id}/suspend`));
    const list = async (query: string) => {
      const { status, body } = await api.get(`${at}${query}`);
      return status === 200 ? body.data.map(({ id }: { id: string }) => id) : body.errors[0].path;
    };
    expect(await list('')).toEqual([job.id, page.id, web.id]);
    expect(await list('?sort=name')).toEqual([web.id, job.id, page.id]);
    expect(await list('?search=A_J')).toEqual([job.id]);
    expect(await list('?type=first_party')).toEqual([web.id]);
    expect(await list('?status=suspended')).toEqual([job.id]);
    expect(await list('?confidential=false')).toEqual([page.id]);
    expect(await list('?confidential=true&sort=created_at')).toEqual([web.id, job.id]);
    expect(await list('?confidential=yes')).toBe('query.confidential');
    const pages: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await api.get(`${at}?limit=1&sort=name${cursor && `&cursor=${cursor}`}`);
      pages.push(...body.data.map(({ id }: { id: string }) => id));
      cursor = body.next_cursor;
    }
    expect(pages).toEqual([web.id, job.id, page.id]);
    const { body } = await api.get(at);
    expect(body.data.map(({ secrets }: { secrets: unknown[] }) => secrets.length)).toEqual([1, 0, 1]);
    expect(body.data[2]).toEqual((await api.get(`${at}/${web.id}`)).body.data);
  });
});

describe('a change', () => {
  test('merges objects, replaces lists, and sets back what is null', async () => {
    const client = await newClient(
      { metadata: { a: 1, b: 2 } },
      { pkce: 'optional', access_token_seconds: 120, post_logout_redirect_uris: [callback] },
    );
    const { result: answer, events } = await rows.eventsOf(() =>
      api.patch(client.path, {
        name: 'Renamed',
        type: 'first_party',
        confidential: true,
        metadata: { a: null },
        settings: {
          openid: { redirect_uris: ['http://localhost:1/'], pkce: null, access_token_seconds: null },
        },
      }),
    );
    expect(answer.status).toBe(200);
    const { secret: _secret, path: _path, ...before } = client;
    const { openid } = client.settings;
    expect(answer.body.data).toEqual({
      ...before,
      name: 'Renamed',
      type: 'first_party',
      metadata: { b: 2 },
      settings: {
        ...client.settings,
        openid: {
          ...openid,
          redirect_uris: ['http://localhost:1/'],
          pkce: 'required',
          access_token_seconds: null,
        },
      },
      updated_at: expect.any(String),
    });
    expect((await api.get(client.path)).body).toEqual(answer.body);
    expect(events).toMatchObject([
      {
        type: 'client.updated',
        subject_type: 'client',
        subject_id: client.id,
        actor: { id: key.id },
        data: {
          changed: [
            'name',
            'type',
            'metadata',
            'settings.openid.redirect_uris',
            'settings.openid.pkce',
            'settings.openid.access_token_seconds',
          ],
          redirect_uris_added: ['http://localhost:1/'],
          redirect_uris_removed: [callback],
          type: 'first_party',
        },
      },
    ]);
  });

  test('of nothing makes no event and no version', async () => {
    const client = await newClient();
    const { result: answer, events } = await rows.eventsOf(() =>
      api.patch(client.path, { name: 'App', settings: client.settings }),
    );
    expect([answer.status, events]).toEqual([200, []]);
    expect(answer.headers.get('ETag')).toBe('"1"');
  });

  test.each<[object, string, RegExp]>([
    [{ confidential: false }, 'confidential', /create another client/],
    [{ settings: { openid: { application_type: 'spa' } } }, 'confidential', /false/],
    [{ settings: { openid: { redirect_uris: [] } } }, 'settings.openid.redirect_uris', /at least one/],
    [{ settings: { openid: { redirect_uris: null } } }, 'settings.openid.redirect_uris', /at least one/],
    [{ settings: { openid: { redirect_uris: ['x'] } } }, 'settings.openid.redirect_uris[0]', /absolute/],
    [
      { settings: { openid: { token_endpoint_auth_method: 'none' } } },
      'settings.openid.token_endpoint_auth_method',
      /./,
    ],
    [{ settings: { openid: { secret: 'x' } } }, 'settings.openid.secret', /not a member/],
    [{ secrets: [] }, 'secrets', /not a member/],
    [{ status: 'suspended' }, 'status', /not a member/],
    [{ name: null }, 'name', /./],
  ])('422 for %j, which names %s', async (body, field, message) => {
    const client = await newClient();
    const answer = await api.patch(client.path, body);
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toContainEqual(
      expect.objectContaining({ path: field, message: expect.stringMatching(message) }),
    );
  });

  test('412 where somebody else was first', async () => {
    const client = await newClient();
    expect((await api.patch(client.path, { name: 'One' }, { 'If-Match': '"1"' })).status).toBe(200);
    expect((await api.patch(client.path, { name: 'Two' }, { 'If-Match': '"1"' })).status).toBe(412);
    expect((await api.delete(client.path, { 'If-Match': '"1"' })).status).toBe(412);
  });

  test('keeps what a later build has stored from being an error', async () => {
    const client = await newClient();
    await rows.query(
      `update clients set settings = settings || jsonb_build_object('openid',
         settings->'openid' || '{"par_mode": "x", "pkce": "plain", "grant_types": ["ciba", "authorization_code"]}')
       where id = $1`,
      [client.id],
    );
    expect((await api.get(client.path)).body.data.settings).toEqual(client.settings);
    expect((await api.patch(client.path, { name: 'Still' })).status).toBe(200);
  });
});

describe('suspending', () => {
  test('is reversible, one event each, and doing it twice changes nothing', async () => {
    const client = await newClient();
    for (const [verb, status, type] of [
      ['suspend', 'suspended', 'client.suspended'],
      ['activate', 'active', 'client.activated'],
    ] as const) {
      const { result: answer, events } = await rows.eventsOf(() => api.post(`${client.path}/${verb}`));
      expect([answer.status, answer.body.data.status]).toEqual([200, status]);
      expect(events).toMatchObject([{ type, subject_id: client.id, actor: { id: key.id } }]);
      const { result: again, events: none } = await rows.eventsOf(() => api.post(`${client.path}/${verb}`));
      expect([again.text, none]).toEqual([answer.text, []]);
    }
  });
});

test('a sandbox key finds the clients of sandbox issuers alone', async () => {
  const client = await newClient();
  const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
  for (const answer of [
    await sandbox.get(path),
    await sandbox.get(client.path),
    await sandbox.patch(client.path, { name: 'x' }),
    await sandbox.post(`${client.path}/suspend`),
    await sandbox.post(`${client.path}/rotate-secret`, {}),
    await sandbox.delete(client.path),
  ])
    expect(answer.status).toBe(404);
});

describe('what a client has', () => {
  // Attack: pages of clients, and tokens, that are megabytes long.
  test('is bounded in all, and the scopes that a token tells by its room', async () => {
    const uris = (of: string) =>
      Array.from({ length: 5 }, (_, n) => `${callback}/${of}${n}${'x'.repeat(1_900)}`);
    const lists = { redirect_uris: uris('a'), post_logout_redirect_uris: uris('b') };
    const client = await newClient({}, lists);
    const { path: at } = client;
    const more = Array.from(
      { length: 80 },
      (_, n) => `${'r'.repeat(60)}.${'s'.repeat(60)}:${n}${'t'.repeat(40)}`,
    );
    const large = { openid: { resource_indicators: uris('c') }, organization_scopes: more };
    const refused = await api.patch(at, { settings: large });
    expect([refused.status, refused.body.errors[0].path]).toEqual([422, 'settings']);
    const long = Array.from(
      { length: 32 },
      (_, n) => `scope-${String(n).padStart(2, '0')}-${'x'.repeat(90)}`,
    );
    const refusedScopes = await api.patch(at, { settings: { scopes: long } });
    expect([refusedScopes.status, refusedScopes.body.errors[0].path]).toEqual([422, 'settings.scopes']);
    succeeded(await api.patch(at, { settings: { scopes: long.slice(0, 30) } }));

    // Who has more from before can change all else.
    await rows.query(`update clients set settings = settings || $2 where id = $1`, [
      client.id,
      JSON.stringify({ organization_scopes: Array.from({ length: 400 }, (_, n) => `${more[0]}${n}`) }),
    ]);
    expect(succeeded(await api.patch(at, { name: 'Other' })).body.data.name).toBe('Other');
  });

  test('of a later build stays where a node of this one changes something else', async () => {
    const client = await newClient();
    const later = {
      later: { a: 1 },
      openid: { ...client.settings.openid, grant_types: ['authorization_code', 'ciba'], later: true },
    };
    await rows.query('update clients set settings = settings || $2 where id = $1', [
      client.id,
      JSON.stringify(later),
    ]);
    const stored = async () => {
      const [row] = await rows.query('select settings from clients where id = $1', [client.id]);
      return (row as { settings: object }).settings;
    };
    const before = await stored();
    succeeded(await api.patch(client.path, { name: 'Other' }));
    expect(await stored()).toEqual(before);
    succeeded(await api.patch(client.path, { settings: { openid: { access_token_seconds: 90 } } }));
    expect(await stored()).toEqual({ ...before, openid: { ...later.openid, access_token_seconds: 90 } });
  });
});
