import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Client, Grant, Interaction, InteractionResult } from 'oidc-provider';
import type { RequestInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { actorOfUser } from '../events/actor.ts';
import type { ConsentGranted } from '../postgres/schema.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import type { IssuerRecord } from '../verification/records.ts';
import { endBrowserLogin, findBrowserLogin } from './browser-login.ts';
import { isFirstParty } from './client-metadata.ts';
import { saveConsent } from './consent-store.ts';
import { agreedInOrganizations, applyConsent } from './grants.ts';
import { requireRunning } from './oauth-answer.ts';
import type { HeldProvider, OidcProviders } from './providers.ts';
import type { IssuerRuntime } from './runtime.ts';
import { requireStillAllowed } from './still-allowed.ts';
import { findUsername, organizationsOfUser } from './users.ts';

/** The browser's request for a page of an interaction, and what answers it. Both are node:http's own. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly info: RequestInfo;
}

/** What the user is asked: who it is, which organization it means, or whether the client may. */
export type InteractionStep = 'login' | 'organization' | 'consent';

/** An interaction that waits for its user. */
export interface LoadedInteraction {
  readonly uid: string;
  readonly issuer: IssuerRecord;
  readonly runtime: IssuerRuntime;
  readonly step: InteractionStep;
  /** Where it goes on, once the user has answered: a form that is sent twice is answered twice. */
  readonly onward: string | null;
  /** Why it is asked, by the names of the library: `no_session`, `max_age`, `login_prompt`, `consent_prompt` … */
  readonly reasons: readonly string[];
  readonly client: {
    readonly id: string;
    readonly name: string;
    readonly isFirstParty: boolean;
    /** It has registered itself: nobody vouches for it, nor for its name. */
    readonly isRegistered: boolean;
    /** Its access goes on without the user. */
    readonly hasRefreshTokens: boolean;
    /** Where the user is sent back to; null for a device. */
    readonly redirectUri: string | null;
  };
  /** Who is signed in already. */
  readonly userId: string | null;
  /** Of the authorization request, as it was sent: shown to nobody without being escaped. */
  readonly loginHint: string | null;
  readonly uiLocales: string | null;
  /** What a consent is asked for: all that the client wants, also what it has been allowed before. */
  readonly asked: ConsentGranted;
  /** The one organization that a consent is about; null for all. */
  readonly organizationId: string | null;
}

interface Dependencies {
  keys: KeyDirectory;
  providers: OidcProviders;
}

interface Opened {
  held: HeldProvider;
  interaction: Interaction;
  client: Client;
}

/**
 * What the pages of the hosted login do with the interactions of the runtime. An interaction is the browser's alone that
 * holds its cookie; each `finish…` answers where to send the browser on to (303).
 */
export class Interactions {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * The interaction of `/{issuer_id}/login/{uid}`.
   *
   * @throws not_found where there is none, it is over, or this browser is not the one; OAuthError (403) where the issuer
   *   is suspended; the library's errors where the client may not have any more what was begun for it; unavailable (503)
   */
  async load(exchange: Exchange, issuerId: string, uid: string): Promise<LoadedInteraction> {
    const { held, interaction, client } = await this.#open(exchange, issuerId, uid);
    const { prompt, params, session } = interaction;
    return {
      uid,
      issuer: held.runtime.issuer,
      runtime: held.runtime,
      onward: interaction.result === undefined ? null : interaction.returnTo,
      step: stepOf(prompt.name),
      reasons: prompt.reasons,
      client: {
        id: client.clientId,
        name: client.clientName ?? client.clientId,
        isFirstParty: isFirstParty(client),
        isRegistered: client.self_registered === true,
        hasRefreshTokens: client.grantTypeAllowed('refresh_token'),
        redirectUri: textOf(params.redirect_uri),
      },
      userId: session?.accountId ?? null,
      loginHint: textOf(params.login_hint),
      uiLocales: textOf(params.ui_locales),
      asked: askedFor(interaction),
      organizationId: textOf(prompt.details.organization),
    };
  }

  /** The name of the one organization that a consent is about; null for all. */
  async organizationOf({ runtime, userId, organizationId }: LoadedInteraction): Promise<string | null> {
    if (userId === null || organizationId === null) return null;
    const narrowing = { onlyOrganization: organizationId, organizationScopes: null };
    const [found] = await organizationsOfUser(runtime, userId, narrowing);
    return found !== undefined && 'name' in found ? found.name : organizationId;
  }

  /** Who is signed in, as the user knows itself; null where nobody is. */
  async usernameOf({ runtime, userId }: LoadedInteraction): Promise<string | null> {
    return userId === null ? null : findUsername(runtime, userId);
  }

  /**
   * The user has shown who it is.
   *
   * @param login.amr how (RFC 8176)
   * @param login.acr the same as one of `acr_values_supported`
   * @param login.isRemembered whether the browser stays signed in when it is closed; true unless given
   */
  async finishLogin(
    exchange: Exchange,
    { issuer, uid }: Pick<LoadedInteraction, 'issuer' | 'uid'>,
    login: { userId: string; amr: readonly string[]; acr: string; isRemembered?: boolean },
  ): Promise<string> {
    return this.#finish(exchange, issuer.id, uid, 'login', async (opened) => {
      await leaveOtherUser(opened, exchange, login.userId);
      const { userId: accountId, amr, acr, isRemembered: remember = true } = login;
      // Now, and not when the last page is answered, which may be left open for long.
      const ts = Math.floor(opened.held.runtime.now().getTime() / 1000);
      return { login: { accountId, amr: [...amr], acr, remember, ts } };
    });
  }

  /** The user has picked an organization; null for all of its own. */
  async finishOrganization(
    exchange: Exchange,
    { issuer, uid }: Pick<LoadedInteraction, 'issuer' | 'uid'>,
    organizationId: string | null,
  ): Promise<string> {
    return this.#finish(exchange, issuer.id, uid, 'organization', async () => ({
      organization: { org_id: organizationId },
    }));
  }

  /** The user allows the client what it has asked for. Another login does not ask again, where the client lets it be so. */
  async finishConsent(
    exchange: Exchange,
    { issuer, uid }: Pick<LoadedInteraction, 'issuer' | 'uid'>,
  ): Promise<string> {
    return this.#finish(exchange, issuer.id, uid, 'consent', (opened) => grant(opened, exchange.info));
  }

  /** Whoever is signed in does not want to answer as that user: it is asked who it is, and then the rest anew. */
  async useOtherAccount(
    exchange: Exchange,
    { issuer, uid, step }: Pick<LoadedInteraction, 'issuer' | 'uid' | 'step'>,
  ): Promise<string> {
    return this.#finish(exchange, issuer.id, uid, step, async () => ({ other_account: true }));
  }

  /** The user does not want to: the client is told `access_denied`. */
  async abort(
    exchange: Exchange,
    { issuer, uid }: Pick<LoadedInteraction, 'issuer' | 'uid'>,
  ): Promise<string> {
    return this.#finish(exchange, issuer.id, uid, null, async () => ({
      error: 'access_denied',
      error_description: 'the user did not go on',
    }));
  }

  async #finish(
    exchange: Exchange,
    issuerId: string,
    uid: string,
    step: InteractionStep | null,
    resultOf: (opened: Opened) => Promise<InteractionResult>,
  ): Promise<string> {
    const opened = await this.#open(exchange, issuerId, uid);
    // A page that has been left open may answer what nobody asks any more.
    if (step !== null && opened.interaction.prompt.name !== step) throw new AppError('not_found');
    const result = await resultOf(opened);
    const { request, response } = exchange;
    return opened.held.provider.interactionResult(request, response, result, {
      // Who it is begins anew; what is answered later is added to it.
      mergeWithLastSubmission: result.organization !== undefined || result.consent !== undefined,
    });
  }

  async #open({ request, response }: Exchange, issuerId: string, uid: string): Promise<Opened> {
    const issuer = await this.#deps.keys.findIssuer(issuerId);
    if (issuer === null) throw new AppError('not_found');
    requireRunning(issuer);
    const held = await this.#deps.providers.of(issuer);
    const interaction = await held.provider.interactionDetails(request, response).catch(notThere);
    if (interaction.uid !== uid) throw new AppError('not_found');
    const client = await held.provider.Client.find(String(interaction.params.client_id));
    if (client === undefined) throw new AppError('not_found');
    requireStillAllowed(client, interaction.params.redirect_uri);
    return { held, interaction, client };
  }
}

/**
 * Where somebody else is signed in in this browser, that login ends first. The library would have its own page do so, by a
 * form that needs a script; and an interaction that was begun under another login would be refused by it.
 */
async function leaveOtherUser(
  { held, interaction }: Opened,
  { request, info }: Exchange,
  userId: string,
): Promise<void> {
  const login = await findBrowserLogin(held, request.headers.cookie);
  if (login === null || login.accountId === userId) return;
  await endBrowserLogin(held, login, info);
  if (interaction.session === undefined) return;
  delete interaction.session.uid;
  await interaction.persist();
}

/** What the library says of an interaction that is not there, or of another browser. */
function notThere(error: unknown): never {
  const { error: code } = error as { error?: unknown };
  throw code === 'invalid_request' ? new AppError('not_found', { cause: error }) : error;
}

function stepOf(name: string): InteractionStep {
  if (name === 'login' || name === 'organization' || name === 'consent') return name;
  throw new Error(`no page for ${name}`);
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function askedFor({ prompt }: Interaction): ConsentGranted {
  const { asked } = prompt.details as { asked?: ConsentGranted };
  if (prompt.name !== 'consent')
    return { openid: [], claims: [], resources: {}, organization_scopes: [], organizations: [] };
  // Begun at a node of the build before this one: the browser begins anew.
  if (asked?.organizations === undefined) throw new AppError('not_found');
  return asked;
}

async function grant({ held, interaction, client }: Opened, info: RequestInfo): Promise<InteractionResult> {
  const { provider, runtime } = held;
  const userId = interaction.session?.accountId;
  if (userId === undefined) throw new AppError('not_found');
  const { grantId } = interaction;
  const found = typeof grantId === 'string' ? await provider.Grant.find(grantId) : undefined;
  const asked = askedFor(interaction);
  // What nobody was asked about counts for the issuer's own clients, and this one may have been one a moment ago. And what is
  // allowed for one organization widens nothing that was allowed for others.
  const isNew = (found?.unasked === true && !isFirstParty(client)) || widensOthers(asked, found);
  const existing = isNew ? undefined : found;
  const given = existing ?? new provider.Grant({ accountId: userId, clientId: client.clientId });
  applyConsent(given, asked);
  const saved = await given.save();
  await runtime.inAccount(async (tx) => {
    const whose = { accountId: runtime.issuer.account.id, issuerId: runtime.issuer.id, userId };
    if (client.remember_consent !== false && !isFirstParty(client))
      await saveConsent(tx, { ...whose, clientId: client.clientId }, grantedBy(given), runtime.now());
    await runtime.recordAll(tx, actorOfUser(userId, info), info, [
      {
        type: 'authorization.granted',
        subject: { type: 'user', id: userId },
        environment: runtime.issuer.environment,
        issuerId: runtime.issuer.id,
        data: {
          client_id: client.clientId,
          scopes: [...asked.openid, ...Object.values(asked.resources).flat()],
          organization_scopes: asked.organization_scopes,
          organizations: asked.organizations,
        },
      },
    ]);
  });
  return { consent: { grantId: saved } };
}

/** Whether scopes are allowed in some organizations only that were not allowed in those of the grant before. */
function widensOthers(asked: ConsentGranted, found: Grant | undefined): boolean {
  if (asked.organizations === null || found === undefined) return false;
  const { organizationScopes: before } = found;
  if (before === undefined) return true;
  if (before === null) return false;
  return asked.organization_scopes?.every((scope) => before.includes(scope)) !== true;
}

function grantedBy(given: InstanceType<HeldProvider['provider']['Grant']>): ConsentGranted {
  return {
    openid: given.getOIDCScope().split(' ').filter(Boolean),
    claims: given.getOIDCClaims(),
    resources: Object.fromEntries(
      Object.entries(given.resources ?? {}).map(([resource, scopes]) => [resource, scopes.split(' ')]),
    ),
    organization_scopes: agreedInOrganizations(given),
    organizations: given.organizations ?? null,
  };
}
