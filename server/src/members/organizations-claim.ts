import type { OrganizationClaim } from './user-organizations.ts';

/** Characters of a token up to which it tells its organizations in full. */
const fullUntil = 3_500;

/**
 * Characters of a token up to which it tells the ids of organizations: with `Authorization: Bearer` before it, it has to
 * fit into the 8 KiB that proxies take for a line, and our own reader takes for a token.
 */
const idsUntil = 7_500;

/** Of a token besides its payload: header, signature (RS256 has the longest) and the dots between. */
const aroundPayload = 500;

/**
 * Puts organizations into the claims of a token without making it too long to be sent: in full where there is room, else
 * by their ids, else by as many ids as fit, with `organizations_omitted` saying how many are not there. What is left out
 * gives no power; userinfo and `/auth/me` tell it.
 */
export function withOrganizations<Claims extends object>(
  claims: Claims,
  organizations: readonly OrganizationClaim[],
): Claims & { organizations: readonly OrganizationClaim[]; organizations_omitted?: number } {
  const full = { ...claims, organizations };
  if (tokenLength(full) <= fullUntil) return full;
  const ids = organizations.map(({ org_id }) => ({ org_id }));
  const withIds = { ...claims, organizations: ids };
  if (tokenLength(withIds) <= idsUntil) return withIds;
  const bare = tokenLength({ ...claims, organizations: [], organizations_omitted: ids.length });
  const kept = Math.max(0, Math.floor((idsUntil - bare) / charactersOf(ids[0]!)));
  return { ...claims, organizations: ids.slice(0, kept), organizations_omitted: ids.length - kept };
}

/** Of one id among others, with its comma. All are equally long. */
function charactersOf(id: object): number {
  return ((JSON.stringify(id).length + 1) * 4) / 3;
}

function tokenLength(claims: object): number {
  return Math.ceil((Buffer.byteLength(JSON.stringify(claims)) * 4) / 3) + aroundPayload;
}
