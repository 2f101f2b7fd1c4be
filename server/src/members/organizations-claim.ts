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
 * the largest of them by their ids, else by as many ids as fit, with `organizations_omitted` saying how many are not there.
 * They keep their order. What is left out gives no power; userinfo and `/auth/me` tell it.
 *
 * The largest, so that an organization which gives somebody much takes room from itself and not from the others.
 */
export function withOrganizations<Claims extends object>(
  claims: Claims,
  organizations: readonly OrganizationClaim[],
): Claims & { organizations: readonly OrganizationClaim[]; organizations_omitted?: number } {
  const full = { ...claims, organizations };
  if (organizations.length === 0 || tokenLength(full) <= fullUntil) return full;
  const ids = organizations.map(({ org_id }) => ({ org_id }));
  const withIds = { ...claims, organizations: ids };
  const length = tokenLength(withIds);
  if (length <= fullUntil)
    return { ...claims, organizations: smallestInFull(organizations, fullUntil - length) };
  if (length <= idsUntil) return withIds;
  const bare = tokenLength({ ...claims, organizations: [], organizations_omitted: ids.length });
  const kept = Math.max(0, Math.floor((idsUntil - bare) / charactersOf(ids[0]!)));
  return { ...claims, organizations: ids.slice(0, kept), organizations_omitted: ids.length - kept };
}

/** In full as many as so many characters more than their ids have room for, the smallest first. */
function smallestInFull(organizations: readonly OrganizationClaim[], room: number): OrganizationClaim[] {
  const told: OrganizationClaim[] = organizations.map(({ org_id }) => ({ org_id }));
  const bySize = organizations
    .map((organization, index) => ({ organization, index, characters: charactersOf(organization) }))
    .toSorted((a, b) => a.characters - b.characters);
  let rest = room;
  for (const { organization, index, characters } of bySize) {
    rest -= characters - charactersOf(told[index]!);
    // Lengths of tokens are rounded up.
    if (rest < 1) break;
    told[index] = organization;
  }
  return told;
}

/** Of one among others, with its comma. All ids are equally long. */
function charactersOf(organization: object): number {
  return ((Buffer.byteLength(JSON.stringify(organization)) + 1) * 4) / 3;
}

function tokenLength(claims: object): number {
  return Math.ceil((Buffer.byteLength(JSON.stringify(claims)) * 4) / 3) + aroundPayload;
}
