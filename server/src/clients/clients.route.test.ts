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
        data: { changed: ['name', 'type', 'settings', 'metadata'], type: 'first_party' },
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
