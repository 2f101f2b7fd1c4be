import { permissionsOfAccount } from '../../src/scopes/scope.ts';
import type { ApiClient } from './api-client.ts';
import { signInByBrowser } from './browser-sign-in.ts';
import { createCustomer } from './customer.ts';
import type { TestServer } from './server.ts';
import { signIn } from './sign-in.ts';
import { createKey, succeeded, type TestKey } from './test-issuer.ts';

/** Every management permission that a customer's key can hold, by name. */
export const everyPermission: readonly string[] = [...permissionsOfAccount({ isOperator: false })];

/** An organization with a key of its own that holds every permission by name. */
export interface TenantOrganization {
  readonly id: string;
  readonly externalId: string;
  readonly key: TestKey;
  /** A user who is a member by itself and by the group. */
  readonly memberId: string;
  readonly groupId: string;
}

/** An issuer with a key of its own that holds every permission by name, and its organizations. */
export interface TenantIssuer {
  readonly id: string;
  readonly key: TestKey;
  readonly publishableKey: TestKey;
  /** Of the key that it signs tokens with. */
  readonly signingKeyId: string;
  readonly organizations: readonly [TenantOrganization, TenantOrganization];
  /** A user who is a member of nothing. */
  readonly userId: string;
  /** A confidential one; its secret as it was given out. */
  readonly client: { readonly id: string; readonly secret: string };
  readonly sessionId: string;
  /** Of the user's session, as it was given out. */
  readonly tokens: { readonly access: string; readonly refresh: string };
}

/** An account with one of everything that an account can have. */
export interface Tenant {
  readonly accountId: string;
  readonly api: ApiClient;
  /** Holds every permission. */
  readonly key: TestKey;
  readonly sandboxKey: TestKey;
  readonly issuer: TenantIssuer;
  readonly sibling: TenantIssuer;
  /** The sandbox twin of `issuer`. */
  readonly twin: TenantIssuer;
  /** Lets the operator's support read in the account. */
  readonly supportGrantId: string;
  /** A plan of the account, which nothing is on. */
  readonly planName: string;
  /** Keys that were deleted: their secrets were made here, and nobody knows them any more. */
  readonly deletedKey: TestKey;
  readonly deletedSandboxKey: TestKey;
}

/**
 * Makes an account through the API.
 *
 * @param marker stands in every name, external id and metadata of it, so that whatever leaks can be recognized
 */
export async function createTenant(server: TestServer, marker: string): Promise<Tenant> {
  const { id, key, api } = await createCustomer(server, {
    name: `${marker} account`,
    owner_email: `${marker}@tenant.test`,
    // Else each answer tells how much is left.
    plan: null,
  });
  const issuer = await createTenantIssuer(server, api, marker, 'first');
  const sibling = await createTenantIssuer(server, api, marker, 'sibling');
  const twin = await api.create(`/v1/issuers/${issuer.id}/sandbox-issuer`);
  const createDeletedKey = async (environment: 'live' | 'sandbox') => {
    const deleted = await createKey(api, '/v1/api-keys', { name: `${marker} deleted`, environment });
    await api.delete(deleted.path);
    return deleted;
  };
  const { name: planName } = await api.create('/v1/plans', { name: `${marker}-plan`, description: marker });
  const grant = await api.create('/v1/account/support-grants', { reason: `${marker} reason` });
  return {
    accountId: id,
    api,
    key: { ...key, path: `/v1/api-keys/${key.id}` },
    sandboxKey: await createKey(api, '/v1/api-keys', {
      name: `${marker} sandbox key`,
      environment: 'sandbox',
    }),
    issuer,
    sibling,
    twin: await furnishIssuer(server, api, twin.id, marker, 'twin'),
    supportGrantId: grant.id,
    planName,
    deletedKey: await createDeletedKey('live'),
    deletedSandboxKey: await createDeletedKey('sandbox'),
  };
}

/** An issuer with its organizations and keys; `marker` and `name` stand in all of them. */
export async function createTenantIssuer(
  server: TestServer,
  api: ApiClient,
  marker: string,
  name: string,
): Promise<TenantIssuer> {
  const { id } = await api.create('/v1/issuers', {
    name: `${marker} ${name}`,
    publishable_scopes: ['catalog:read'],
  });
  return furnishIssuer(server, api, id, marker, name);
}

async function furnishIssuer(
  server: TestServer,
  api: ApiClient,
  id: string,
  marker: string,
  name: string,
): Promise<TenantIssuer> {
  const path = `/v1/issuers/${id}`;
  const restrictions = { scopes: [...everyPermission, 'invoices:read'] };
  const createOrganization = async (word: string): Promise<TenantOrganization> => {
    const externalId = `${marker}-${name}-${word}`;
    const organization = await api.create(`${path}/organizations`, {
      name: `${marker} ${word} of ${name}`,
      external_id: externalId,
      metadata: { of: marker },
    });
    const keys = `${path}/organizations/${organization.id}/api-keys`;
    const key = await createKey(api, keys, { name: `${marker} key of ${word}`, restrictions });
    const below = `${path}/organizations/${organization.id}`;
    const group = await api.create(`${below}/groups`, {
      name: `${marker} group ${word} of ${name}`,
      scopes: ['reports:read'],
    });
    const member = await api.create(`${path}/users`, { username: `${word}.${name}@${marker}.test` });
    await api.create(`${below}/members`, {
      member_id: member.id,
      scopes: ['invoices:read'],
      groups: [group.id],
    });
    return { id: organization.id, externalId, key, memberId: member.id, groupId: group.id };
  };
  const user = await api.create(`${path}/users`, {
    username: `${name}@${marker}.test`,
    profile: { display_name: `${marker} user of ${name}` },
    metadata: { of: marker },
  });
  const client = await api.create(`${path}/clients`, {
    name: `${marker} client of ${name}`,
    settings: { openid: { redirect_uris: [`https://${name}.${marker}.test/callback`] } },
    metadata: { of: marker },
  });
  succeeded(await api.patch(`${path}/login-settings`, { audience: `https://${name}.${marker}.test` }));
  succeeded(await api.patch(`${path}/oidc-settings`, { login_seconds: 3_600 }));
  await signInByBrowser(server, api, { issuerId: id, userId: user.id, name: `${marker} tenant` });
  const { session_id: sessionId, token: access, refresh_token: refresh } = await signIn(server, id, user.id);
  const { body: signingKeys } = await api.get(`${path}/signing-keys`);
  return {
    id,
    signingKeyId: signingKeys.data[0].id,
    userId: user.id,
    client: { id: client.id, secret: client.secret },
    sessionId,
    tokens: { access, refresh },
    key: await createKey(api, `${path}/api-keys`, {
      name: `${marker} key of ${name}`,
      restrictions,
      metadata: { of: marker },
    }),
    publishableKey: await createKey(api, `${path}/api-keys`, {
      name: `${marker} publishable key of ${name}`,
      kind: 'publishable',
      restrictions: { scopes: ['catalog:read'] },
    }),
    organizations: [await createOrganization('one'), await createOrganization('two')],
  };
}
