import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, type TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
// Closed, so that no job changes anything while an answer is made.
await server.running.services.clientDeletion.close();
const { api } = await createCustomer(server);
const issuer = await api.create('/v1/issuers', { name: 'Acme API', publishable_scopes: ['catalog:read'] });
const issuerPath = `/v1/issuers/${issuer.id}`;
const organization = await api.create(`${issuerPath}/organizations`, { name: 'Tenant' });
const below = `${issuerPath}/organizations/${organization.id}`;
const path = `${below}/explain`;
const user = await api.create(`${issuerPath}/users`, { username: 'member@example.com' });
const stranger = await api.create(`${issuerPath}/users`, { username: 'stranger@example.com' });
const group = await api.create(`${below}/groups`, { name: 'Writers', scopes: ['invoices:write'] });
await api.create(`${below}/members`, { member_id: user.id, scopes: ['invoices:read'], groups: [group.id] });

const ask = async (body: object) => {
  const before = await rows.snapshot();
  const { data } = succeeded(await api.post(path, body)).body;
  expect(await rows.snapshot()).toEqual(before);
  return data;
};

describe('a member', () => {
  test('what itself and what its groups grant, and what nothing does', async () => {
    expect(await ask({ member_id: user.id, scope: 'invoices:write' })).toMatchObject({
      scope: 'invoices:write',
      allowed: true,
      denied_by: null,
      granted_by: { member: false, groups: [{ id: group.id, name: 'Writers' }], key: false },
      effective_scopes: ['invoices:read', 'invoices:write'],
    });
    expect(await ask({ member_id: user.id, scope: 'reports:read' })).toMatchObject({
      allowed: false,
      denied_by: 'grant',
    });
    const byCode = await ask({ member_id: user.id, scope: 'invoices:read', client_id: 'otp' });
    expect(byCode.allowed).toBe(true);
    expect(byCode.checks.find(({ check }: { check: string }) => check === 'client').outcome).toBe('skipped');
  });

  test('what a suspended user, organization or issuer is denied, and all that is denied again', async () => {
    const denied = async () => (await ask({ member_id: user.id, scope: 'invoices:read' })).denied_by;
    for (const [at, expected] of [
      [`${issuerPath}/users/${user.id}`, 'user'],
      [below, 'organization'],
      [issuerPath, 'issuer'],
    ]) {
      succeeded(await api.post(`${at}/suspend`));
      expect(await denied()).toBe(expected);
      succeeded(await api.post(`${at}/activate`));
      expect(await denied()).toBeNull();
    }
  });

  test('what its client does not let through, and all of it once the client is suspended', async () => {
    const client = await api.create(`${issuerPath}/clients`, {
      name: 'App',
      settings: {
        organization_scopes: ['invoices:read'],
        openid: { redirect_uris: ['https://app.example.com/callback'] },
      },
    });
    const about = (scope: string) => ask({ member_id: user.id, scope, client_id: client.id });
    expect(await about('invoices:read')).toMatchObject({
      allowed: true,
      effective_scopes: ['invoices:read'],
    });
    expect(await about('invoices:write')).toMatchObject({
      denied_by: 'client',
      granted_by: { groups: [{ id: group.id, name: 'Writers' }] },
    });
    succeeded(await api.post(`${issuerPath}/clients/${client.id}/suspend`));
    expect(await about('invoices:read')).toMatchObject({ denied_by: 'client', effective_scopes: [] });
    succeeded(await api.delete(`${issuerPath}/clients/${client.id}`));
    const gone = await api.post(path, { member_id: user.id, scope: 'invoices:read', client_id: client.id });
    expect([gone.status, gone.body.errors[0].code]).toEqual([422, 'unknown_client']);
  });

  test('nothing for a client that no user signs in with', async () => {
    const openid = { redirect_uris: ['https://app.example.com/callback'] };
    for (const [settings, allowed] of [
      [{ application_type: 'm2m' }, false],
      [{ grant_types: ['authorization_code', 'client_credentials'], ...openid }, true],
      [{ grant_types: ['urn:ietf:params:oauth:grant-type:device_code'] }, true],
    ] as const) {
      for (const type of ['first_party', 'external']) {
        const client = await api.create(`${issuerPath}/clients`, {
          name: 'App',
          type,
          settings: { openid: settings },
        });
        const told = await ask({ member_id: user.id, scope: 'invoices:read', client_id: client.id });
        expect(told).toMatchObject({
          allowed,
          denied_by: allowed ? null : 'client',
          effective_scopes: allowed ? ['invoices:read', 'invoices:write'] : [],
          granted_by: { member: true },
        });
      }
    }
  });

  test('what the user has not agreed to yet, of an external client that was given more', async () => {
    const place = { id: issuer.id, path: issuerPath, api } as TestIssuer;
    const client = await OidcClient.create(server, place, {
      type: 'external',
      settings: { organization_scopes: ['invoices:read'] },
    });
    const about = (scope: string) => ask({ member_id: user.id, scope, client_id: client.id });
    const messageOf = ({ checks }: Awaited<ReturnType<typeof about>>) =>
      checks.find(({ check }: { check: string }) => check === 'client').message;
    expect(messageOf(await about('invoices:read'))).toContain('has not been asked for its consent yet');
    const { refresh_token: token } = await client.signIn(new OidcBrowser(server), { userId: user.id });
    succeeded(
      await api.patch(`${issuerPath}/clients/${client.id}`, { settings: { organization_scopes: null } }),
    );
    const told = await about('invoices:write');
    const { body } = await client.refresh(token!);
    const [inToken] = claimsOf(body.access_token).organizations;
    expect(told).toMatchObject({ denied_by: 'client', effective_scopes: inToken.scopes });
    expect(messageOf(told)).toContain('has not agreed');
    await rows.query(
      `update oidc_consents set granted = granted || '{"organizations": ["org_of_others"]}' where client_id = $1`,
      [client.id],
    );
    expect(await about('invoices:read')).toMatchObject({ denied_by: 'client', effective_scopes: [] });
    succeeded(
      await api.patch(`${issuerPath}/clients/${client.id}`, {
        settings: { openid: { remember_consent: false } },
      }),
    );
    expect(messageOf(await about('invoices:write'))).toContain('is asked at each sign-in');
  });

  // The attack: ask about ids until one answers otherwise, and so find out who the issuer's users are.
  test('who is no member is told like an id that nobody has', async () => {
    const answers = [];
    for (const member_id of [stranger.id, 'usr_0000000000000000000000000'])
      answers.push(await ask({ member_id, scope: 'invoices:read' }));
    expect(answers[0]).toMatchObject({ allowed: false, denied_by: 'membership', effective_scopes: [] });
    expect(answers[0]).toEqual(answers[1]);
  });
});

describe('a key', () => {
  test('what its scopes name while it is active', async () => {
    const key = await createKey(api, `${below}/api-keys`, { restrictions: { scopes: ['invoices:read'] } });
    const about = (scope: string) => ask({ key_id: key.id, scope });
    expect(await about('invoices:read')).toMatchObject({
      allowed: true,
      granted_by: { member: false, groups: [], key: true },
      effective_scopes: ['invoices:read'],
    });
    expect((await about('invoices:write')).denied_by).toBe('key_scopes');
    succeeded(await api.post(`${key.path}/disable`));
    expect(await about('invoices:read')).toMatchObject({ denied_by: 'key', effective_scopes: [] });
    succeeded(await api.delete(key.path));
    expect((await about('invoices:read')).denied_by).toBe('key');
  });

  test('of a publishable one, what its issuer still marks publishable', async () => {
    const key = await createKey(api, `${below}/api-keys`, {
      kind: 'publishable',
      restrictions: { scopes: ['catalog:read'] },
    });
    expect((await ask({ key_id: key.id, scope: 'catalog:read' })).allowed).toBe(true);
    succeeded(await api.patch(issuerPath, { publishable_scopes: [] }));
    expect((await ask({ key_id: key.id, scope: 'catalog:read' })).denied_by).toBe('key_scopes');
  });

  test('of another organization is told like none, and takes the permission to read keys', async () => {
    const other = await api.create(`${issuerPath}/organizations`, { name: 'Other' });
    const foreign = await createKey(api, `${issuerPath}/organizations/${other.id}/api-keys`);
    const answers = [];
    for (const key_id of [foreign.id, 'key_0000000000000000000000000'])
      answers.push(await ask({ key_id, scope: 'invoices:read' }));
    expect(answers[0]).toEqual(answers[1]);
    const reader = await withScopes(api, ['gatelodge.members:read'], `${below}/api-keys`);
    expect((await reader.post(path, { member_id: user.id, scope: 'invoices:read' })).status).toBe(200);
    const refused = await reader.post(path, { key_id: foreign.id, scope: 'invoices:read' });
    expect([refused.status, refused.body.code]).toEqual([403, 'permission_denied']);
  });
});

// Attack: a tenant with a key of its own learns which clients its issuer has, and what they hold their users to.
test('naming a client takes the permission to read clients, and no key of an organization', async () => {
  const body = { member_id: user.id, scope: 'invoices:read', client_id: 'otp' };
  const statusOf = async (scopes: string[], at: string) => {
    const { status, body: answer } = await (await withScopes(api, scopes, at)).post(path, body);
    return status === 200 ? 200 : answer.code;
  };
  const [members, both] = [['gatelodge.members:read'], ['gatelodge.members:read', 'gatelodge.clients:read']];
  expect(await statusOf(members, `${issuerPath}/api-keys`)).toBe('permission_denied');
  expect(await statusOf(both, `${issuerPath}/api-keys`)).toBe(200);
  expect(await statusOf(members, `${below}/api-keys`)).toBe('permission_denied');
});

test.each([
  [{ scope: 'a:b' }, 'member_id'],
  [{ member_id: user.id, key_id: 'key_0000000000000000000000000', scope: 'a:b' }, 'member_id'],
  [{ key_id: 'key_0000000000000000000000000', client_id: 'otp', scope: 'a:b' }, 'client_id'],
  [{ member_id: user.id }, 'scope'],
  [{ member_id: user.id, scope: 'a b' }, 'scope'],
  [{ member_id: user.id, scope: 'a:b', client_id: 'c_0000000000000000000000000' }, 'client_id'],
])('422: %j is refused at %s', async (body, at) => {
  const answer = await api.post(path, body);
  expect([answer.status, answer.body.errors[0].path]).toEqual([422, at]);
});
