import type { Context, Grant } from 'oidc-provider';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { StoredConsent } from '../postgres/schema.ts';
import { findClientSession } from '../sessions/client-session-store.ts';
import { isFirstParty } from './client-metadata.ts';
import type { IssuerRuntime } from './runtime.ts';
import { oidcScopes } from './scopes.ts';
import type { RuntimeUser } from './users.ts';

/**
 * What the user has granted the client, for the request that is under way: of this browser login, or else what it has
 * allowed before. A client of the issuer's own has all that it may ask for, for as long as it is that.
 *
 * Also gives the client another session where that of this login has ended: whatever ended it (a token shown twice, the
 * client itself), what comes now is new.
 */
export async function loadGrant(runtime: IssuerRuntime, context: Context): Promise<Grant | undefined> {
  const { oidc } = context;
  const { client, session, provider } = oidc;
  const user = oidc.account as RuntimeUser | undefined;
  if (client === undefined || user === undefined) return undefined;
  // From here on, whatever is asked first: until it has picked, it is asked which organization it means.
  if (oidc.result?.login !== undefined && runtime.oidc.organization_picker) runtime.context.beginPicking();
  const isRenewed = await renewEndedSession(runtime, session, client.clientId);
  const before = isRenewed ? undefined : session.grantIdFor(client.clientId);
  const grantId = oidc.result?.consent?.grantId ?? before;
  // What was given out under another grant goes on as that.
  if (before !== undefined && grantId !== before) session.sidFor(client.clientId, newId(idPrefixes.session));
  const existing = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const isOwn = existing?.accountId === user.accountId && existing.clientId === client.clientId;
  if (isFirstParty(client)) {
    const grant = isOwn
      ? existing
      : new provider.Grant({ accountId: user.accountId, clientId: client.clientId });
    if (allowAllAsked(context, grant) || !isOwn) {
      grant.unasked = true;
      await grant.save();
    }
    return grant;
  }
  if (isOwn) return existing;
  if (user.consent === null || client.remember_consent === false) return undefined;
  const grant = new provider.Grant({ accountId: user.accountId, clientId: client.clientId });
  applyConsent(grant, user.consent);
  await grant.save();
  return grant;
}

/** Every login has a session of its own for each client, whose id is the `sid` of the tokens. */
async function renewEndedSession(
  runtime: IssuerRuntime,
  session: Context['oidc']['session'],
  clientId: string,
): Promise<boolean> {
  const sessionId = session.sidFor(clientId);
  if (sessionId === undefined) return false;
  const { issuer } = runtime;
  const scope = { accountId: issuer.account.id, issuerId: issuer.id, sessionId };
  const row = await runtime.inAccount((tx) => findClientSession(tx, scope));
  // One that is forgotten must not begin anew under its id, by which tokens of it would count again that somebody else may
  // hold; of one that has not begun yet nothing was granted.
  if (row === null && session.grantIdFor(clientId) === undefined) return false;
  if (row !== null && row.ended_at === null && row.expires_at > runtime.now()) return false;
  session.sidFor(clientId, newId(idPrefixes.session));
  return true;
}

/** Answers whether the grant has changed. */
function allowAllAsked({ oidc }: Context, grant: Grant): boolean {
  const before = JSON.stringify([grant.getOIDCScope(), grant.getOIDCClaims(), grant.resources]);
  const asked = [...oidc.requestParamScopes];
  const ofOpenid = asked.filter((scope) => oidcScopes.has(scope));
  if (ofOpenid.length > 0) grant.addOIDCScope(ofOpenid.join(' '));
  const claims = [...oidc.requestParamClaims];
  if (claims.length > 0) grant.addOIDCClaims(claims);
  for (const [resource, { scopes }] of Object.entries(oidc.resourceServers)) {
    const allowed = asked.filter((scope) => scopes.has(scope));
    if (allowed.length > 0) grant.addResourceScope(resource, allowed.join(' '));
  }
  return before !== JSON.stringify([grant.getOIDCScope(), grant.getOIDCClaims(), grant.resources]);
}

/**
 * What tokens of a grant are held to of scopes in organizations; null: to nothing but the client's settings. So it is where
 * nobody was asked, and of what a node of the build before this one has written, until the user is asked again.
 */
export function agreedInOrganizations(grant: Grant | undefined): string[] | null {
  return grant?.organizationScopes ?? null;
}

/** So many organizations are kept that a user has allowed one by one; who has allowed more is asked again about the first. */
const mostOrganizations = 100;

/**
 * Puts what a user has allowed into a grant. Of scopes in organizations it is this that counts, and none from before;
 * organizations add up.
 */
export function applyConsent(
  grant: Grant,
  { openid, claims, resources, organization_scopes: inOrganizations, organizations = null }: StoredConsent,
): void {
  const before = grant.organizationScopes === undefined ? [] : (grant.organizations ?? null);
  grant.organizations =
    organizations === null || before === null
      ? null
      : [...before.filter((id) => !organizations.includes(id)), ...organizations].slice(-mostOrganizations);
  if (inOrganizations !== undefined) grant.organizationScopes = inOrganizations;
  if (openid.length > 0) grant.addOIDCScope(openid.join(' '));
  if (claims.length > 0) grant.addOIDCClaims(claims);
  for (const [resource, scopes] of Object.entries(resources))
    if (scopes.length > 0) grant.addResourceScope(resource, scopes.join(' '));
}
