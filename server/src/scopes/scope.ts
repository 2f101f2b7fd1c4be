/**
 * A scope is `resource:action` or `resource.sub:action`. Product scopes such as `invoices:read` are the account's own
 * words; what a credential may do in Gatelodge itself has reserved names, see
 * docs/contributing/decisions/0002-management-permissions-have-a-namespace.md.
 */
const maxSegmentLength = 64;
const segment = `[A-Za-z0-9_-]{1,${maxSegmentLength}}`;
const scopePattern = new RegExp(`^${segment}(?:\\.${segment})?:${segment}$`);

/** The longest scope there can be: three segments and two separators. */
export const maxScopeLength = 3 * maxSegmentLength + 2;

/** What only the operator's account can hold. */
const operatorOnlyPermissions = ['gatelodge.accounts:read', 'gatelodge.accounts:write'] as const;

/** Every permission there is in Gatelodge itself. */
export const managementPermissions = [
  'gatelodge.account:read',
  'gatelodge.account:write',
  ...operatorOnlyPermissions,
  'gatelodge.issuers:read',
  'gatelodge.issuers:write',
  'gatelodge.key-profiles:read',
  'gatelodge.key-profiles:write',
  'gatelodge.signing-keys:read',
  'gatelodge.signing-keys:write',
  'gatelodge.clients:read',
  'gatelodge.clients:write',
  'gatelodge.organizations:read',
  'gatelodge.organizations:write',
  'gatelodge.members:read',
  'gatelodge.members:write',
  'gatelodge.groups:read',
  'gatelodge.groups:write',
  'gatelodge.users:read',
  'gatelodge.users:write',
  'gatelodge.sessions:read',
  'gatelodge.sessions:write',
  'gatelodge.login-settings:read',
  'gatelodge.login-settings:write',
  'gatelodge.plans:read',
  'gatelodge.plans:write',
  'gatelodge.api-keys:read',
  'gatelodge.api-keys:write',
  'gatelodge.events:read',
  'gatelodge.mails:read',
  'gatelodge.usage:read',
  'gatelodge.support-grants:read',
  'gatelodge.support-grants:write',
  'keys:verify',
] as const;

export type ManagementPermission = (typeof managementPermissions)[number];

const known: ReadonlySet<string> = new Set(managementPermissions);
const ofOperator: ReadonlySet<ManagementPermission> = new Set(managementPermissions);
const ofCustomer: ReadonlySet<ManagementPermission> = new Set(
  managementPermissions.filter(
    (permission) => !operatorOnlyPermissions.some((other) => other === permission),
  ),
);

/** Every permission of an account: what its key without scopes holds. */
export function permissionsOfAccount({
  isOperator,
}: {
  isOperator: boolean;
}): ReadonlySet<ManagementPermission> {
  return isOperator ? ofOperator : ofCustomer;
}

export type ScopeParse = { ok: true; scope: string } | { ok: false; message: string; suggestion?: string };

/**
 * Reads one scope. A reserved name that names no permission is refused, with the known ones, so that a misspelt
 * permission never becomes a product scope that silently grants nothing.
 */
export function parseScope(text: string): ScopeParse {
  if (text.length > maxScopeLength || !scopePattern.test(text)) {
    return {
      ok: false,
      message: `a scope is "resource:action" or "resource.sub:action", each part 1 to ${maxSegmentLength} letters, digits, _ or -, such as "invoices:read"`,
    };
  }
  if (!isReservedScope(text) || known.has(text)) return { ok: true, scope: text };
  const lower = text.toLowerCase();
  if (known.has(lower)) {
    return {
      ok: false,
      message: `permissions of Gatelodge are lower-case: write "${lower}"`,
      suggestion: lower,
    };
  }
  return {
    ok: false,
    message: `"gatelodge" is reserved for permissions of Gatelodge; take one of ${managementPermissions.join(', ')}, or name the resource otherwise`,
  };
}

/**
 * Says whether the name is Gatelodge's own, in any case: every scope of the resource `gatelodge`, and `keys:verify`.
 * A reserved name is not always a permission; `isManagementPermission` says that.
 */
export function isReservedScope(scope: string): boolean {
  const lower = scope.toLowerCase();
  return lower === 'keys:verify' || lower.startsWith('gatelodge.') || lower.startsWith('gatelodge:');
}

/** Says whether the scope is a permission in Gatelodge itself. */
export function isManagementPermission(scope: string): scope is ManagementPermission {
  return known.has(scope);
}

/**
 * The reserved scopes among `requested` that whoever holds `held` may not grant, each once. Product scopes are never
 * among them: they are the account's own words. `'all'` stands for every permission of a customer's account; what only
 * the operator holds is no part of it, so pass `permissionsOfAccount({ isOperator: true })` for the operator's key.
 */
export function ceilingViolations(requested: readonly string[], held: ReadonlySet<string> | 'all'): string[] {
  const ceiling: ReadonlySet<string> = held === 'all' ? ofCustomer : held;
  const above = requested.filter(
    (scope) => isReservedScope(scope) && !(known.has(scope) && ceiling.has(scope)),
  );
  return [...new Set(above)];
}
