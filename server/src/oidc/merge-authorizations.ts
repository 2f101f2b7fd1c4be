import type { Authorizations } from 'oidc-provider';

type Authorization = Authorizations[string];

/**
 * What a browser login says of its clients, of two requests that have changed it at the same time: of each client each
 * member as the one has it that changed it, and as `own` has it where both did.
 *
 * @param base as `own` found it
 * @param own as `own` would write it
 * @param other as it is written meanwhile
 */
export function mergeAuthorizations(
  base: Authorizations = {},
  own: Authorizations = {},
  other: Authorizations = {},
): Authorizations {
  const clients = new Set([...Object.keys(own), ...Object.keys(other)]);
  return Object.fromEntries(
    [...clients]
      .map((client) => [client, mergeOne(of(base, client), of(own, client), of(other, client))] as const)
      .filter(([, merged]) => Object.keys(merged).length > 0),
  );
}

function mergeOne(base: Authorization, own: Authorization, other: Authorization): Authorization {
  const changed = (name: keyof Authorization) => own[name] !== base[name];
  const merged: Record<string, unknown> = {};
  for (const name of new Set([...Object.keys(own), ...Object.keys(other)]) as Set<keyof Authorization>) {
    const value = (changed(name) ? own : other)[name];
    if (value !== undefined) merged[name] = value;
  }
  return merged;
}

function of(authorizations: Authorizations, client: string): Authorization {
  return Object.hasOwn(authorizations, client) ? (authorizations[client] ?? {}) : {};
}
