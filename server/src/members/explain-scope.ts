import type { ApiKeyStatus } from '../api-keys/api-key.ts';
import { bothOf, effectiveScopes } from './effective-scopes.ts';
import type { GroupOfMember } from './member-store.ts';

/** Everything that decides whether somebody has a scope in an organization, in the order in which it does. */
export const scopeChecks = [
  'issuer',
  'organization',
  'membership',
  'user',
  'grant',
  'client',
  'key',
  'key_scopes',
] as const;

export const scopeOutcomes = ['passed', 'failed', 'skipped'] as const;

type Status = 'active' | 'suspended';

interface MemberOfQuestion {
  user_status: Status;
  scopes: readonly string[];
  groups: readonly GroupOfMember[];
}

/** A client that acts for a member. */
export interface ActingClient {
  status: Status;
  /** Whether users sign in with it: one without such a grant never acts for any. */
  signsUsersIn: boolean;
  /** null: it sets none and takes all. */
  organizationScopes: readonly string[] | null;
  /** What the member has agreed that an external client has; null: nobody is asked, undefined: it has not been yet. */
  agreed: readonly string[] | null | undefined;
  /** Whether what its users agree to is kept; else they are asked at each sign-in. */
  remembersConsent: boolean;
}

/** What is asked, with all that the answer follows from. */
export interface ScopeQuestion {
  scope: string;
  issuerStatus: Status;
  organizationStatus: Status;
  /** `member` null: nobody of that id is a member. `client` null: none is asked about. */
  who:
    | { kind: 'member'; member: MemberOfQuestion | null; client: ActingClient | null }
    | { kind: 'key'; key: { status: ApiKeyStatus; scopes: readonly string[] } | null };
}

/** What became of one check. */
export interface ScopeCheck {
  check: (typeof scopeChecks)[number];
  /** `skipped`: there was nothing to decide. */
  outcome: (typeof scopeOutcomes)[number];
  /** The fact that decided, for people. */
  message: string;
}

export interface ScopeExplanation {
  allowed: boolean;
  /** The first check that failed. */
  denied_by: ScopeCheck['check'] | null;
  checks: ScopeCheck[];
  granted_by: { member: boolean; groups: { id: string; name: string }[]; key: boolean };
  /** What a token made now would hold for the organization, or the key does there; none where a status forbids it. */
  effective_scopes: string[];
}

/** Says of one scope what grants it or what stands against it, each check on its own. */
export function explainScope(question: ScopeQuestion): ScopeExplanation {
  const { scope, who, issuerStatus, organizationStatus } = question;
  const checks = [
    active('issuer', 'The issuer', issuerStatus),
    active('organization', 'The organization', organizationStatus),
    ...(who.kind === 'member' ? checksOfMember(scope, who) : checksOfKey(scope, who)),
  ];
  const denied = checks.find(({ outcome }) => outcome === 'failed');
  const isInForce =
    checks.every(({ check, outcome }) => outcome !== 'failed' || !decidesForAll.has(check)) &&
    !(who.kind === 'member' && who.client !== null && !actsForUsers(who.client));
  return {
    allowed: denied === undefined,
    denied_by: denied?.check ?? null,
    checks,
    granted_by: grantsOf(scope, who),
    effective_scopes: isInForce ? scopesOf(who) : [],
  };
}

/** Those that say of every scope what they say of this one. */
const decidesForAll: ReadonlySet<string> = new Set(['issuer', 'organization', 'membership', 'user', 'key']);

type Who<Kind> = Extract<ScopeQuestion['who'], { kind: Kind }>;

function checksOfMember(scope: string, { member, client }: Who<'member'>): ScopeCheck[] {
  const ofKeys = (['key', 'key_scopes'] as const).map((check) => skipped(check, 'No key is asked about.'));
  if (member === null) {
    const unknown = (['user', 'grant', 'client'] as const).map((check) =>
      skipped(check, 'There is no membership.'),
    );
    return [
      failed('membership', 'No user of this id is a member of the organization.'),
      ...unknown,
      ...ofKeys,
    ];
  }
  return [
    passed('membership', 'The user is a member of the organization.'),
    active('user', 'The user', member.user_status),
    grantOf(scope, member),
    restrictionOf(scope, client),
    ...ofKeys,
  ];
}

function grantOf(scope: string, member: MemberOfQuestion): ScopeCheck {
  const groups = grantingGroups(scope, member).map(({ name }) => `the group “${name}”`);
  const sources = [...(member.scopes.includes(scope) ? ['the member itself'] : []), ...groups];
  if (sources.length > 0) return passed('grant', `Granted by ${sources.join(', ')}.`);
  const count = member.groups.length;
  return failed(
    'grant',
    `Neither the member’s own scopes nor those of its groups (${count === 0 ? 'it is in none' : count}) grant it.`,
  );
}

function restrictionOf(scope: string, client: ActingClient | null): ScopeCheck {
  if (client === null) return skipped('client', 'No client is asked about.');
  if (client.status === 'suspended') return failed('client', 'The client is suspended.');
  if (!client.signsUsersIn)
    return failed('client', 'None of the client’s grant_types signs users in: it acts for itself alone.');
  if (client.organizationScopes?.includes(scope) === false)
    return failed('client', 'The client’s organization_scopes do not name it.');
  if (client.agreed?.includes(scope) === false)
    return failed('client', 'The user has not agreed that the client has it; its next sign-in asks.');
  const asks = client.agreed === undefined ? ` ${askedAbout(client)}` : '';
  return client.organizationScopes === null
    ? skipped('client', `The client sets no organization_scopes: it takes all.${asks}`)
    : passed('client', `The client’s organization_scopes name it.${asks}`);
}

/** Whether any token of a user is made for it now. */
function actsForUsers({ status, signsUsersIn }: ActingClient): boolean {
  return status === 'active' && signsUsersIn;
}

function askedAbout({ remembersConsent }: ActingClient): string {
  return remembersConsent
    ? 'The user has not been asked for its consent yet.'
    : 'The user is asked at each sign-in; tokens hold what it has agreed to then.';
}

function checksOfKey(scope: string, { key }: Who<'key'>): ScopeCheck[] {
  const ofMembers = (['membership', 'user', 'grant', 'client'] as const).map((check) =>
    skipped(check, 'A key acts for itself.'),
  );
  if (key === null) {
    return [
      ...ofMembers,
      failed('key', 'The organization has no key of this id.'),
      skipped('key_scopes', 'There is no key.'),
    ];
  }
  return [
    ...ofMembers,
    key.status === 'active'
      ? passed('key', 'The key is active.')
      : failed('key', `The key is ${key.status}.`),
    key.scopes.includes(scope)
      ? passed('key_scopes', 'The key’s scopes name it.')
      : failed('key_scopes', 'None of the key’s scopes that are in effect names it.'),
  ];
}

function grantsOf(scope: string, who: ScopeQuestion['who']): ScopeExplanation['granted_by'] {
  if (who.kind === 'key') return { member: false, groups: [], key: who.key?.scopes.includes(scope) === true };
  if (who.member === null) return { member: false, groups: [], key: false };
  return {
    member: who.member.scopes.includes(scope),
    groups: grantingGroups(scope, who.member).map(({ id, name }) => ({ id, name })),
    key: false,
  };
}

function grantingGroups(scope: string, { groups }: MemberOfQuestion): GroupOfMember[] {
  return groups.filter((group) => group.scopes.includes(scope));
}

function scopesOf(who: ScopeQuestion['who']): string[] {
  if (who.kind === 'key') return [...(who.key?.scopes ?? [])].sort();
  if (who.member === null) return [];
  return effectiveScopes({
    member: who.member.scopes,
    groups: who.member.groups.map(({ scopes }) => scopes),
    organizationScopes: bothOf(who.client?.organizationScopes ?? null, who.client?.agreed ?? null),
  });
}

function active(check: ScopeCheck['check'], what: string, status: Status): ScopeCheck {
  const message = `${what} is ${status}.`;
  return status === 'active' ? passed(check, message) : failed(check, message);
}

function passed(check: ScopeCheck['check'], message: string): ScopeCheck {
  return { check, outcome: 'passed', message };
}

function failed(check: ScopeCheck['check'], message: string): ScopeCheck {
  return { check, outcome: 'failed', message };
}

function skipped(check: ScopeCheck['check'], message: string): ScopeCheck {
  return { check, outcome: 'skipped', message };
}
