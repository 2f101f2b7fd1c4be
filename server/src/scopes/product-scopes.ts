import { z } from 'zod';
import { isReservedScope, parseScope } from './scope.ts';

/** They go into tokens and into headers of answers, which take some KiB at the most. */
const maxTogether = 3 * 1024;
const maxScopes = 100;
/** The most that `bytesOfScopes` says of a list: each scope has two quotes and a comma. */
export const maxBytesOfList = maxTogether + 3 * maxScopes;

/** Bytes of the scopes of a member, its own and those of its groups: every answer about it tells them. */
export const maxScopeBytesOfMember = 64 * 1024;

/**
 * A list of scopes of people: the account's own words. What may be done in Gatelodge itself is granted to keys alone, for
 * no user's token opens the management API (decision 0002). Doubles are dropped.
 */
export const productScopesField = z
  .array(z.string())
  .max(maxScopes)
  .transform((entries, context) => {
    entries.forEach((entry, index) => {
      const problem = problemOf(entry);
      if (problem !== null) context.addIssue({ code: 'custom', path: [index], input: entry, ...problem });
    });
    return [...new Set(entries)];
  })
  .refine(
    (scopes) => scopes.join(' ').length <= maxTogether,
    `must have at most ${maxTogether} characters together; use fewer or shorter scopes`,
  )
  .describe(
    `\`resource:action\` or \`resource.sub:action\`; at most ${maxScopes}, and 3 KiB together. Names that are reserved for permissions in Gatelodge are refused.`,
  );

function problemOf(scope: string): { message: string; params?: { code: string } } | null {
  if (isReservedScope(scope)) {
    return {
      message: `"${scope.slice(0, 100)}" is reserved for what API keys may do in Gatelodge itself; name the resource otherwise`,
      params: { code: 'reserved_scope' },
    };
  }
  const parsed = parseScope(scope);
  return parsed.ok ? null : { message: parsed.message };
}

/** Bytes that scopes take in a token or an answer, as tables keep it beside them. */
export function bytesOfScopes(scopes: readonly string[]): number {
  return JSON.stringify(scopes).length;
}
