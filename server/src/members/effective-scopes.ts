/** Where the scopes of a member come from, and what they are held to. */
export interface ScopeSources {
  /** The member's own. */
  member: readonly string[];
  /** Those of each of its groups. */
  groups: readonly (readonly string[])[];
  /** `organization_scopes` of the client that acts for the user; null or absent where it sets none. */
  organizationScopes?: readonly string[] | null | undefined;
  /** The scopes of the key that acts for the user; null or absent where none does. */
  keyCeiling?: readonly string[] | null | undefined;
}

/**
 * What a member may do: what it has by itself or by a group, as far as client and key let it through. Each scope once, in
 * the order of their characters. An empty restriction lets nothing through.
 */
export function effectiveScopes({ member, groups, organizationScopes, keyCeiling }: ScopeSources): string[] {
  const granted = new Set([member, ...groups].flat());
  return [...granted]
    .filter((scope) => lets(organizationScopes, scope) && lets(keyCeiling, scope))
    .sort(byCharacters);
}

/** What two restrictions let through; null is none. */
export function bothOf(a: readonly string[] | null, b: readonly string[] | null): readonly string[] | null {
  if (a === null || b === null) return a ?? b;
  return a.filter((scope) => b.includes(scope));
}

function lets(restriction: readonly string[] | null | undefined, scope: string): boolean {
  return restriction == null || restriction.includes(scope);
}

function byCharacters(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
