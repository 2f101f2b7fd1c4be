import type { LimitLevel } from '../limits/limits.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';

const noLevels: readonly LimitLevel[] = Object.freeze([]);

/**
 * Every level whose limits a request with this key is charged to, from the narrowest to the widest; those without any
 * are left out.
 *
 * @param organization the tenant that the decision is for: the key's own, or the one that an issuer's key acts for
 */
export function limitLevelsOf(
  key: KeyRecord,
  organization: OrganizationRecord | null,
): readonly LimitLevel[] {
  const { environment, ownLevel, issuer, account } = key;
  const ofOrganization = organization === null ? null : organization.levels[environment];
  const ofIssuer = issuer === null ? null : issuer.levels[environment];
  const ofAccount = account.levels[environment];
  if (ownLevel === null && ofOrganization === null && ofIssuer === null && ofAccount === null)
    return noLevels;
  const levels: LimitLevel[] = [];
  if (ownLevel !== null) levels.push(ownLevel);
  if (ofOrganization !== null) levels.push(ofOrganization);
  if (ofIssuer !== null) levels.push(ofIssuer);
  if (ofAccount !== null) levels.push(ofAccount);
  return levels;
}
