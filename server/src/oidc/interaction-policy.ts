import { decodeJwt } from 'jose';
import { type Client, type Context, errors, interactionPolicy } from 'oidc-provider';
import { requestInfoOf } from '../edge/request-info.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import type { ConsentGranted } from '../postgres/schema.ts';
import { requirePossibleAcr } from './acr.ts';
import { isFirstParty, mayAskForScope, mayKnowClaim, organizationScopesOfClient } from './client-metadata.ts';
import type { IssuerRuntime } from './runtime.ts';
import { claimsOfEveryToken, oidcScopes } from './scopes.ts';
import { organizationsOfUser } from './users.ts';

const { Check, Prompt } = interactionPolicy;

/** Why a user is asked who it is that is signed in, and has said that it wants to be somebody else. */
export const otherAccount = 'other_account';
const hintedUser = 'hinted_user';
const pickedGone = 'picked_gone';

/** Why a user is asked who it is where an `id_token_hint` says who is meant; the first is the library's own. */
export const asksForHinted: ReadonlySet<string> = new Set(['id_token_hint', hintedUser]);

/** What the user is asked, in this order: who it is, which organization it means, and whether the client may. */
export function policyOf(runtime: IssuerRuntime): unknown {
  const policy = interactionPolicy.base();
  policy.add(organizationPrompt(runtime), 1);
  const login = policy.get('login');
  login.checks.unshift(
    new Check('other_subject', 'another user is meant', 'login_required', ({ oidc }) => requireSubject(oidc)),
  );
  login.checks.push(
    new Check(
      pickedGone,
      'the organization that the user has picked is gone, and every other',
      'login_required',
      ({ oidc }) => isPickedGone(runtime, oidc),
    ),
    new Check(
      otherAccount,
      'the user wants to use another account',
      'login_required',
      ({ oidc }) => oidc.result?.other_account === true,
    ),
    new Check(hintedUser, 'another user is meant', 'login_required', ({ oidc }) => isOtherMeant(oidc)),
  );
  const consent = policy.get('consent');
  // Whoever else is on a device can take a native client's redirect, so the user is asked each time (RFC 8252 §8.6);
  // PKCE keeps what it gets worthless to others, which is enough where the client is the issuer's own.
  consent.checks.remove('native_client_prompt');
  consent.checks.push(
    new Check(
      'native_client_prompt',
      'native clients require End-User interaction',
      'interaction_required',
      ({ oidc }) =>
        oidc.client?.applicationType === 'native' &&
        !isFirstParty(oidc.client) &&
        oidc.result?.consent === undefined,
    ),
  );
  consent.checks.push(
    new Check(
      'organization_scopes_missing',
      'scopes in organizations not granted',
      'consent_required',
      ({ oidc }) => !mayHaveInOrganizations(oidc.client!, oidc.grant?.organizationScopes),
    ),
  );
  consent.checks.push(
    new Check('organization_missing', 'the organization not granted', 'consent_required', ({ oidc }) => {
      const agreed = oidc.grant?.organizations ?? null;
      if (isFirstParty(oidc.client) || agreed === null) return false;
      const organization = runtime.context.organization();
      return organization === null || !agreed.includes(organization);
    }),
  );
  consent.details = ({ oidc }) => {
    const organization = runtime.context.organization();
    return { asked: askedOf(oidc, organization), organization };
  };
  return policy;
}

/**
 * Whether the client has named another user than the one that is signed in (OpenID Connect Core 1.0 §3.1.2.1). Where it comes
 * with its request the library sees to that; where it goes on with one it looks at no hint, and has verified this one before
 * it kept it.
 *
 * @throws the library's error where another one has just signed in
 */
function isOtherMeant({ route, params, session, result }: Context['oidc']): boolean {
  const { id_token_hint: hint } = params;
  if (!hintedRoutes.has(route) || typeof hint !== 'string' || session.accountId === undefined) return false;
  if (decodeJwt(hint).sub === session.accountId) return false;
  if (result?.login === undefined) return true;
  throw new errors.LoginRequired('another user has signed in than the one that id_token_hint names');
}

/**
 * The library asks who it is for as long as `claims` names another user.
 *
 * @returns false: it is the library that asks for the first time
 * @throws the library's error where another one has just signed in
 */
function requireSubject({ claims, session, result }: Context['oidc']): boolean {
  const named = claims.id_token?.sub?.value;
  if (result?.login !== undefined && named !== undefined && named !== session.accountId)
    throw new errors.LoginRequired('another user has signed in than the one that claims names');
  return false;
}

/**
 * Whether the user is held to one organization and has none at the moment. Tokens for none would be for all of them later, once
 * they are carried on; whoever signs in anew is held to nothing.
 */
async function isPickedGone(
  runtime: IssuerRuntime,
  { session, result, client }: Context['oidc'],
): Promise<boolean> {
  const { context } = runtime;
  if (!runtime.oidc.organization_picker || session.accountId === undefined || client === undefined)
    return false;
  if (result?.login !== undefined || context.organizationOfRequest() !== undefined) return false;
  if (context.rememberedOrganization() === null) return false;
  const organizations = await organizationsOfUser(runtime, session.accountId, {
    onlyOrganization: null,
    organizationScopes: null,
  });
  return organizations.length === 0;
}

const hintedRoutes: ReadonlySet<string> = new Set(['resume', 'device_resume', 'code_verification']);

/** Whether the user has agreed to all that the client gets of scopes in organizations; undefined: it was not asked. */
function mayHaveInOrganizations(client: Client, agreed: readonly string[] | null | undefined): boolean {
  if (isFirstParty(client) || agreed === null) return true;
  return organizationScopesOfClient(client)?.every((scope) => agreed?.includes(scope) === true) ?? false;
}

/** Everything that the client wants: whoever is asked sees the whole of it, and allows what it has seen. */
function askedOf(
  {
    requestParamOIDCScopes,
    requestParamScopes,
    requestParamClaims,
    resourceServers,
    client,
  }: Context['oidc'],
  organization: string | null,
): ConsentGranted {
  const inOrganizations = organizationScopesOfClient(client!);
  return {
    openid: [...requestParamOIDCScopes],
    claims: [...requestParamClaims].filter((claim) => !claimsOfEveryToken.has(claim)),
    resources: Object.fromEntries(
      Object.entries(resourceServers).map(([resource, { scopes }]) => [
        resource,
        [...requestParamScopes].filter((scope) => scopes.has(scope)),
      ]),
    ),
    organization_scopes: inOrganizations && [...inOrganizations],
    organizations: organization === null ? null : [organization],
  };
}

/**
 * `org=` narrows the tokens to one organization, which has to be one of the user's. Without it a user who has just signed
 * in and has several picks one, or all, which holds for the client as long as the browser is signed in; it is asked again
 * where it is no member of that one any more.
 */
function organizationPrompt(runtime: IssuerRuntime) {
  return new Prompt(
    { name: 'organization' },
    new Check(
      'organization_unknown',
      'the user has to choose an organization; org names one',
      'interaction_required',
      async ({ oidc: { session, result, client } }: Context) => {
        if (session.accountId === undefined || client === undefined) return false;
        const { context } = runtime;
        const chosen = context.organizationOfRequest();
        if (typeof chosen === 'string') await requireMember(runtime, session.accountId, chosen);
        if (result?.organization !== undefined) context.rememberOrganization(chosen);
        const hasJustSignedIn = result?.login !== undefined;
        if (chosen !== undefined) {
          if (hasJustSignedIn) context.endPicking();
          return false;
        }
        const remembered = context.rememberedOrganization();
        if (remembered === null && !hasJustSignedIn && !context.isPicking) return false;
        const organizations = await organizationsOfUser(runtime, session.accountId, {
          onlyOrganization: null,
          organizationScopes: organizationScopesOfClient(client),
        });
        const isStillMember = organizations.some(({ org_id }) => org_id === remembered);
        if (!runtime.oidc.organization_picker) {
          // What is not to be picked is not held to what once was, once the user could not change it.
          if (hasJustSignedIn || !isStillMember) context.rememberOrganization(undefined);
          return false;
        }
        const isToPick = hasJustSignedIn || context.isPicking;
        if (isStillMember && !isToPick) return false;
        // Until it has picked, nobody gets tokens for more, or for another one, by not asking it.
        const isOnlyOne = organizations.length === 1 && (hasJustSignedIn || isStillMember);
        if (organizations.length > 0 && !isOnlyOne) {
          context.beginPicking();
          return true;
        }
        context.endPicking();
        if (isStillMember) return false;
        context.rememberOrganization(undefined);
        // There is none left that the tokens could be widened to, for now.
        if (remembered !== null) context.beginPicking();
        return false;
      },
    ),
  );
}

async function requireMember(runtime: IssuerRuntime, userId: string, organizationId: string): Promise<void> {
  const found = await organizationsOfUser(runtime, userId, {
    onlyOrganization: organizationId,
    organizationScopes: null,
  });
  if (found.length === 0)
    throw new errors.AccessDenied('the user is not a member of the organization, or it is suspended');
}

/** As JSON, which is how they are kept: no more than the head of a request takes, whatever has to be escaped. */
const maxParametersBytes = 16 * 1024;

/**
 * What the library does not look at itself, of each request to authorize.
 *
 * @throws the library's errors: where all of it is too long, where `org` is there and no id of an organization, where a
 *   scope is none of the client's, or a claim of such a scope, where no scope is left that there is, where an `acr` has to
 *   be that nobody can have
 */
export function checkAuthorizationRequest(context: Context, org: unknown, client: Client): void {
  const { oidc } = context;
  // Each scope is kept once for each resource that knows it.
  const isTooLong = [oidc.params, askedOf(oidc, null)].some(
    (kept) => Buffer.byteLength(JSON.stringify(kept)) > maxParametersBytes,
  );
  if (isTooLong) throw new errors.InvalidRequest('the request is too long');
  keepAsPushed(oidc);
  if (org !== undefined && (typeof org !== 'string' || !isId(idPrefixes.organization, org)))
    throw new errors.InvalidRequest('org must be the id of an organization');
  const refused = [...oidc.requestParamScopes].filter((scope) => !mayAskForScope(client, scope)).join(' ');
  if (refused !== '')
    throw new errors.InvalidScope(
      `${refused}: not among the client's scopes; add it to settings.scopes of the client, or do not ask for it`,
      refused,
    );
  requireKnownScope(context);
  checkClaims(oidc.params.claims, client);
}

/**
 * Of `max_age=0` the library makes `prompt=login`, and keeps that of a pushed request: beside `prompt=none` it would refuse it
 * once it is used, where it has to say that the user has to sign in. So that is kept as it came.
 */
function keepAsPushed({ route, params, prompts }: Context['oidc']): void {
  if (route !== 'pushed_authorization_request' || !prompts.has('none') || !prompts.has('login')) return;
  params.prompt = 'none';
  params.max_age = '0';
}

/** Whoever has written the request may have written anything: no more of it is repeated, and of that only what is a name. */
const maxRepeatedScopes = 5;
const nameOfScope = /^[a-z][a-z0-9:._/-]{0,59}$/;

/**
 * What is unknown to the standard and to every resource asked for is passed over (RFC 6749 §3.3), and the log told; with
 * nothing but that, the user would sign in for an error.
 */
function requireKnownScope({ oidc, req }: Context): void {
  const known = [oidcScopes, ...Object.values(oidc.resourceServers).map(({ scopes }) => scopes)];
  const asked = [...oidc.requestParamScopes].filter((scope) => scope !== '');
  const unknown = asked.filter((scope) => !known.some((scopes) => scopes.has(scope)));
  const named = unknown
    .filter((scope) => nameOfScope.test(scope))
    .slice(0, maxRepeatedScopes)
    .join(' ');
  if (unknown.length > 0) noteOnRequest(requestInfoOf(req), { droppedScopes: named || 'no names of scopes' });
  if (unknown.length < asked.length) return;
  const problem =
    unknown.length === 0
      ? 'scope is missing, or is offline_access alone: ask for openid, or for scopes in settings.scopes of the client'
      : `${named || 'its scopes'}: unknown; ask for openid, or add what is missing to settings.scopes of the client`;
  const error = new errors.InvalidScope(problem, named);
  if (unknown.length > 0) error.error_detail = 'none of the scopes is known';
  throw error;
}

/** Names that the library passes over, since their value is none, are refused as well: the session keeps all of them. */
function checkClaims(parameter: unknown, client: Client): void {
  if (typeof parameter !== 'string') return;
  const { userinfo = {}, id_token: idToken = {} } = JSON.parse(parameter) as Record<string, object>;
  const refused = [...Object.keys(userinfo), ...Object.keys(idToken)].find(
    (claim) => !mayKnowClaim(client, claim),
  );
  if (refused !== undefined)
    throw new errors.InvalidRequest('claims asks for what no scope of the client brings');
  const isOdd = (value: unknown) => typeof value !== 'object' || Array.isArray(value);
  if ([...Object.values(userinfo), ...Object.values(idToken)].some(isOdd))
    throw new errors.InvalidRequest('each member of claims must be null or an object');
  requirePossibleAcr((idToken as { acr?: unknown }).acr);
}
