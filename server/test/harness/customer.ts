import type { ApiClient } from './api-client.ts';
import { createKey } from './test-issuer.ts';

/** An account that is not the operator's, with its first key. */
export interface Customer {
  readonly id: string;
  readonly key: { id: string; secret: string };
  readonly api: ApiClient;
}

/** Makes an account as the operator does. */
export async function createCustomer(
  server: { operator: { api: ApiClient } },
  members: Record<string, unknown> = {},
): Promise<Customer> {
  const { api } = server.operator;
  const { id, api_key } = await api.create('/v1/accounts', {
    name: 'Acme',
    owner_email: 'owner@acme.test',
    ...members,
  });
  const key = { id: api_key.id, secret: api_key.secret_plain };
  return { id, key, api: api.as(key) };
}

/** The API as a new key with just these scopes, at the level that the path names. */
export async function withScopes(
  api: ApiClient,
  scopes: readonly string[],
  path = '/v1/api-keys',
  members: Record<string, unknown> = {},
): Promise<ApiClient> {
  return api.as(await createKey(api, path, { restrictions: { scopes }, ...members }));
}
