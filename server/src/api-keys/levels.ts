import { z } from 'zod';

/** The three levels a key can stand at: the same operations, each under the path of what the key belongs to. */
export const keyLevels = [
  { path: '/v1/api-keys', operations: 'apiKeys', owner: 'the account', params: z.object({}) },
  {
    path: '/v1/issuers/{issuer_id}/api-keys',
    operations: 'issuer.apiKeys',
    owner: 'an issuer',
    params: z.object({ issuer_id: z.string() }),
  },
  {
    path: '/v1/issuers/{issuer_id}/organizations/{org_id}/api-keys',
    operations: 'organization.apiKeys',
    owner: 'an organization',
    params: z.object({ issuer_id: z.string(), org_id: z.string() }),
  },
] as const;

/** The path parameters of whichever level; the ones above the level are missing. */
export interface KeyPathParams {
  issuer_id?: string;
  org_id?: string;
  key_id?: string;
}

/** The parameters of the path of one key. */
export interface KeyItemParams extends KeyPathParams {
  key_id: string;
}

/** The parameters of an item's path at this level. */
export function itemParams(level: (typeof keyLevels)[number]) {
  return level.params.extend({ key_id: z.string() });
}

/** The path of the keys at this place. */
export function collectionPath({
  issuer,
  organizationId,
}: {
  issuer: { id: string } | null;
  organizationId: string | null;
}): string {
  const ofIssuer = issuer === null ? '' : `/issuers/${issuer.id}`;
  return `/v1${ofIssuer}${organizationId === null ? '' : `/organizations/${organizationId}`}/api-keys`;
}
