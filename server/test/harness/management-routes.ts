import { z } from 'zod';
import { routes } from '../../src/app.ts';
import type { Route } from '../../src/http/route.ts';
import { idPrefixes, newId } from '../../src/ids/ids.ts';

export type ManagementRoute = Exclude<Route, { handler: null }>;

/** Every operation of the management API. */
export const managementRoutes = routes.filter((route): route is ManagementRoute => route.handler !== null);

/** The path with these ids in its parameters, and the query that the operation cannot do without. */
export function pathOf({ path, operationId }: ManagementRoute, ids: Record<string, string>): string {
  const query = operationId === 'accounts.delete' ? '?name=Acme' : '';
  return (
    path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => {
      const id = ids[name] ?? alwaysThere[name];
      if (id === undefined) throw new Error(`no id for {${name}} of ${path}`);
      return id;
    }) + query
  );
}

/** What a parameter may be that names nothing anybody has made. */
export const alwaysThere: Readonly<Record<string, string>> = { month: '2026-01', error_code: 'not_found' };

/** For every other parameter of a path a well-formed id (of a plan, a name) that nothing has. */
export function unknownIds(): Record<string, string> {
  return {
    account_id: newId(idPrefixes.account),
    issuer_id: newId(idPrefixes.issuer),
    org_id: newId(idPrefixes.organization),
    user_id: newId(idPrefixes.user),
    member_id: newId(idPrefixes.user),
    group_id: newId(idPrefixes.group),
    client_id: newId(idPrefixes.client),
    session_id: newId(idPrefixes.session),
    key_id: newId(idPrefixes.apiKey),
    grant_id: newId(idPrefixes.supportGrant),
    signing_key_id: newId(idPrefixes.signingKey),
    mail_id: newId(idPrefixes.mail),
    plan_name: unknownPlanName(),
    uid: 'no-sign-in',
    asset_name: 'nothing.css',
  };
}

/** The name of a plan that nobody has made. */
export function unknownPlanName(): string {
  return `no-plan-${newId(idPrefixes.event)}`;
}

/**
 * A body that the operation takes, as its contract shows one; undefined where it takes none.
 *
 * @param ids as for `withIds`
 */
export function exampleBodyOf({ body }: ManagementRoute, ids: { user_id?: string } = {}): unknown {
  if (body === undefined) return undefined;
  const known = z.globalRegistry.get(body) as { examples?: unknown[] } | undefined;
  return withIds(known?.examples?.[0] ?? {}, ids);
}

/** The example of a body with the id of a user that there is where it names one. */
export function withIds<Body>(example: Body, { user_id: userId }: { user_id?: string }): Body {
  const names = typeof example === 'object' && example !== null && 'member_id' in example;
  return names && userId !== undefined ? { ...example, member_id: userId } : example;
}
