import type { ApiAnswer, ApiClient } from './api-client.ts';
import { succeeded } from './test-issuer.ts';

/** The header by which the operator reads in an account. */
export const inside = (accountId: string) => ({ 'X-Gatelodge-Account': accountId });

/** Reads something that every account has, as whoever `reader` is, in the account that the header names. */
export const readIn = (reader: ApiClient, accountId: string): Promise<ApiAnswer> =>
  reader.get('/v1/account', inside(accountId));

/** Makes a grant of the account whose key `api` uses, and answers its id. */
export async function grantSupport(api: ApiClient, seconds = 3600): Promise<string> {
  const body = { reason: 'Ticket 4711', expires_in_seconds: seconds };
  return (await api.create('/v1/account/support-grants', body)).id;
}

export async function revokeSupport(api: ApiClient, grantId: string): Promise<void> {
  succeeded(await api.post(`/v1/account/support-grants/${grantId}/revoke`));
}

/** What was answered, without what differs between any two requests. */
export function essenceOf({ status, headers, text }: ApiAnswer) {
  const names = [...headers.keys()].filter((name) => name !== 'date' && name !== 'x-request-id');
  return {
    status,
    headers: names.map((name) => [name, headers.get(name)]),
    text: text.replaceAll(/req_\w+/g, 'req_'),
  };
}
