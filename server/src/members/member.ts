import { mayDo, type Principal } from '../authentication/principal.ts';
import type { JsonObject } from '../postgres/schema.ts';
import { effectiveScopes } from './effective-scopes.ts';
import type { Member, MemberRow, NamedGroup, UserOrganization } from './member-store.ts';

/** A member as lists answer it. */
export function toListedMember(member: MemberRow & { groups: NamedGroup[] }) {
  return {
    member_id: member.user_id,
    organization_id: member.organization_id,
    user: {
      username_type: member.username_type,
      username: member.username,
      status: member.user_status,
      first_name: textOf(member.profile, 'first_name'),
      last_name: textOf(member.profile, 'last_name'),
      display_name: textOf(member.profile, 'display_name'),
    },
    scopes: member.scopes,
    groups: member.groups.map(({ id, name }) => ({ id, name })),
    created_at: member.created_at.toISOString(),
    updated_at: member.updated_at.toISOString(),
  };
}

/** A member as it is answered. */
export function toMemberResource(member: Member) {
  const { scopes, groups } = member;
  return {
    ...toListedMember(member),
    effective_scopes: effectiveScopes({ member: scopes, groups: groups.map((group) => group.scopes) }),
  };
}

/** The same after a change, to whoever has made it: that may be somebody who may not read members. */
export function toWrittenMember(principal: Principal, member: Member) {
  const { user, ...others } = toMemberResource(member);
  return mayDo(principal, 'gatelodge.members:read') ? { ...others, user } : others;
}

/** An organization of a user as it is answered. */
export function toUserOrganizationResource(row: UserOrganization) {
  return {
    organization_id: row.organization_id,
    name: row.name,
    external_id: row.external_id,
    status: row.status,
    scopes: row.scopes,
    groups: row.groups,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

function textOf(profile: JsonObject, name: string): string | null {
  const value = profile[name];
  return typeof value === 'string' ? value : null;
}
