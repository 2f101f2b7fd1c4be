import type { JsonObject } from '../postgres/schema.ts';
import type { UsernameType } from '../users/username.ts';
import { claimsOfScopes } from './scopes.ts';

/** What is known of a user. */
export interface UserFacts {
  username_type: UsernameType;
  username: string;
  /** null where it is the one that the user was made with. */
  username_changed_at: Date | null;
  profile: JsonObject;
  updated_at: Date;
}

/** Members of a profile that are claims under another name. */
const renamed: Readonly<Record<string, string>> = {
  first_name: 'given_name',
  last_name: 'family_name',
  display_name: 'name',
  time_zone: 'zoneinfo',
  picture_url: 'picture',
};

const profileClaims: ReadonlySet<string> = new Set(claimsOfScopes.profile);

/** How and when a user has signed in. */
export interface SignInFacts {
  readonly amr: readonly string[];
  /** In seconds since 1970; undefined where nobody has. */
  readonly authTime: number | undefined;
}

/**
 * The claims of OpenID Connect Core 1.0 §5.1 about a user, all there are; which of them are told, scopes decide. An address
 * counts as verified where a code that was mailed to it was part of the sign-in: not one that the user was given later.
 */
export function userClaims(user: UserFacts, signIn: SignInFacts): Record<string, unknown> {
  const { username_type: type, username, profile, updated_at: updatedAt } = user;
  const named = [profile.first_name, profile.last_name].filter(
    (part): part is string => typeof part === 'string' && part !== '',
  );
  return {
    ...(named.length > 0 && { name: named.join(' ') }),
    ...told(Object.entries(profile)),
    // Last, since these are the members that users of the API are told of.
    ...told(Object.entries(renamed).map(([member, claim]) => [claim, profile[member]])),
    ...(type === 'email' && { email: username, email_verified: isVerified(user, signIn) }),
    ...phoneClaims(type === 'phone' ? username : profile.phone_number),
    ...(type === 'unique-name' && { preferred_username: username }),
    updated_at: Math.floor(updatedAt.getTime() / 1000),
  };
}

function isVerified(
  { username_changed_at: changedAt }: UserFacts,
  { amr, authTime = 0 }: SignInFacts,
): boolean {
  return amr.includes('otp') && (changedAt === null || authTime * 1000 > changedAt.getTime());
}

/** Of these, claims of scope `profile` that are text. */
function told(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries(
    entries.filter(([claim, value]) => profileClaims.has(claim) && typeof value === 'string'),
  );
}

/** Nobody has verified a number yet. */
function phoneClaims(number: unknown): Record<string, unknown> {
  return typeof number === 'string' && number !== ''
    ? { phone_number: number, phone_number_verified: false }
    : {};
}

/** Of these claims those that the scopes ask for. */
export function claimsInScope(
  claims: Record<string, unknown>,
  scopes: ReadonlySet<string>,
): Record<string, unknown> {
  const wanted = new Set(
    Object.entries(claimsOfScopes).flatMap(([scope, names]) => (scopes.has(scope) ? [...names] : [])),
  );
  return Object.fromEntries(Object.entries(claims).filter(([name]) => wanted.has(name as never)));
}
