import { randomBytes } from 'node:crypto';
import {
  type Adapter,
  type Client,
  type Context,
  errors,
  type GrantTypeHandler,
  type OIDCProviderError,
  Provider,
  type Session,
  type Token,
} from 'oidc-provider';
import type { ClientDirectory } from '../clients/client-directory.ts';
import { requestInfoOf } from '../edge/request-info.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { Log } from '../logs/log.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import type { KeyMaterial } from '../signing-keys/key-material.ts';
import type { KeySet } from '../signing-keys/key-set.ts';
import { accessTokenOf } from './access-tokens.ts';
import { ClientAdapter } from './client-adapter.ts';
import { configurationOf } from './configuration.ts';
import { deviceCodeGrant, grantTypesOf } from './grant-types.ts';
import { asLibraryError, noteRefusal } from './library-errors.ts';
import { libraryKeys } from './library-keys.ts';
import { takeLinkedCode } from './linked-code.ts';
import { LoginAdapter } from './login-adapter.ts';
import { rememberNotFound, rememberOrganization } from './not-found-reasons.ts';
import { pageHeaders } from './pages.ts';
import { proofSeconds } from './proof.ts';
import { RecordAdapter } from './record-adapter.ts';
import { visitOf } from './record-visits.ts';
import { redeem } from './redemption.ts';
import type { IssuerRuntime } from './runtime.ts';
import { requireStillAllowed } from './still-allowed.ts';
import { describeMissingGrantType, explainAnswer, explainRefusal } from './token-refusals.ts';

/** Where the library wants a client's secret to stand. It compares none with it, and no key is made of it. */
const placeholderSecret = randomBytes(32).toString('base64url');

/** Where the library goes on with a request that it has kept. */
const goingOn: ReadonlySet<string> = new Set(['resume', 'device_resume']);

export interface ProviderDependencies {
  clients: ClientDirectory;
  log: Log;
}

/** Whatever the grant type, what a token request has shown is used up at its end, and the client is told why it does not count. */
class IssuerProvider extends Provider {
  override registerGrantType(name: string, handler: GrantTypeHandler, ...rest: unknown[]): void {
    const redeeming: GrantTypeHandler = async (context) => {
      try {
        await handler(context);
        await redeem(context);
      } catch (error) {
        explainRefusal(name, error);
        throw error;
      }
    };
    super.registerGrantType(name, redeeming, ...rest);
  }
}

/** The library for one issuer, with the keys that it has at this moment. */
export function createProvider(
  runtime: IssuerRuntime,
  { set, signer }: { set: KeySet; signer: KeyMaterial },
  { clients, log }: ProviderDependencies,
): Provider {
  const how = {
    secret: placeholderSecret,
    algorithm: signer.algorithm,
    grantTypes: grantTypesOf(runtime.oidc),
  };
  const provider = new IssuerProvider(
    runtime.url,
    configurationOf(runtime, {
      adapter: (model) =>
        model === 'Client' ? new ClientAdapter(runtime, clients, how) : recordAdapterOf(model, runtime),
      keys: libraryKeys(set, signer, runtime.now().getTime()),
      algorithm: signer.algorithm,
    }),
  );
  // What is forwarded is written by the edge, from the settings alone.
  provider.proxy = true;
  // It would write errors to the console, bodies and all.
  provider.silent = true;
  compareSecrets(provider, runtime, clients);
  nameMissingGrantTypes(provider);
  makeOwnTokens(provider, runtime);
  nameSessions(provider);
  keepSavedSessions(provider);
  holdToNow(provider);
  keepUsersApart(provider, runtime);
  keepOrganizations(provider);
  keepWhatWasAgreed(provider);
  takeProofsOnce(provider, runtime);
  namePrompts(provider);
  provider.use((context, next) => answerAsWeDo(context, next, pageHeaders(runtime.url)));
  for (const event of refusals)
    provider.on(event, (context: Context, error: OIDCProviderError) =>
      noteRefusal(requestInfoOf(context.req), error),
    );
  for (const event of answeredRefusals)
    provider.on(event, (context: Context, error: OIDCProviderError) =>
      explainAnswer(context, error, how.grantTypes),
    );
  provider.on('grant.error', (context: Context, error: OIDCProviderError) =>
    rememberNotFound(runtime, context, error),
  );
  provider.on('authorization.error', rememberOrganization);
  provider.on('authorization.error', keepFromStrangers);
  const logFailure = (error: unknown, context: Context | undefined) => {
    if (context !== undefined) noteOnRequest(requestInfoOf(context.req), { code: 'server_error' });
    log.error({ err: error, request_id: context && requestInfoOf(context.req).id }, 'request failed');
  };
  provider.on('server_error', (context: Context, error: unknown) => logFailure(error, context));
  // What fails outside of the library's own handling.
  provider.on('error', logFailure);
  return provider;
}

function recordAdapterOf(model: string, runtime: IssuerRuntime): Adapter {
  return model === 'Session' ? new LoginAdapter(runtime) : new RecordAdapter(model, runtime);
}

/**
 * Anybody may register a client, and an error that is sent back without a page would lead from our host to wherever it wants
 * (RFC 9700 §4.11.2): it is shown here, unless this browser's user has let the client in. Told before the library looks.
 */
function keepFromStrangers(context: Context, error: OIDCProviderError): void {
  const { client, route, session } = context.oidc;
  if (route !== 'authorization' || client?.self_registered !== true) return;
  if (session?.grantIdFor(client.clientId) !== undefined) return;
  error.allow_redirect = false;
  // What asks for a user is a redirect to the library, and this is a page.
  if (context.status === 303) context.status = 400;
}

/** By these the library tells of what it has refused a program of a client, whose answer stands already. */
const answeredRefusals = [
  'grant.error',
  'pushed_authorization_request.error',
  'device_authorization.error',
] as const;

/** By these it tells of all that it refuses. */
const refusals = [
  ...answeredRefusals,
  'authorization.error',
  'code_verification.error',
  'device_resume.error',
] as const;

/** Secrets are hashed, and a client has two while one of them is rotated. */
function compareSecrets(provider: Provider, { issuer }: IssuerRuntime, clients: ClientDirectory): void {
  provider.Client.prototype.compareClientSecret = async function compareClientSecret(this: Client, secret) {
    try {
      const client = await clients.find(issuer.id, this.clientId, issuer.account.id);
      return client !== null && clients.verifySecret(client, secret);
    } catch (error) {
      throw asLibraryError(error);
    }
  };
  // So that the library remembers the `sid` of every code.
  provider.Client.prototype.includeSid = () => true;
}

/** What a client may not do, the library calls an invalid request, and does not say what it was or how to mend it. */
function nameMissingGrantTypes({ Client: { prototype } }: Provider): void {
  prototype.grantTypeAllowed = function grantTypeAllowed(this: Client, type: string) {
    const isAllowed = this.grantTypes.includes(type);
    if (!isAllowed && type === grantTypeAsked())
      throw new errors.UnauthorizedClient(describeMissingGrantType(type));
    return isAllowed;
  };
}

/** By which the request under way wants to get tokens, or to begin with it; undefined elsewhere. */
function grantTypeAsked(): unknown {
  const { route, params } = Provider.ctx?.oidc ?? {};
  if (route === 'device_authorization') return deviceCodeGrant;
  return route === 'token' ? params?.grant_type : undefined;
}

/** Access tokens are signed JWTs of ours, and are not stored. */
function makeOwnTokens(provider: Provider, runtime: IssuerRuntime): void {
  async function getValueAndPayload(this: Token) {
    const context = Provider.ctx;
    if (context === undefined) throw new Error('an access token outside of a request');
    try {
      return { value: await accessTokenOf(runtime, context, this) };
    } catch (error) {
      throw asLibraryError(error);
    }
  }
  provider.AccessToken.prototype.getValueAndPayload = getValueAndPayload;
  provider.ClientCredentials.prototype.getValueAndPayload = getValueAndPayload;
}

/** The `sid` of a client is the id of its session. */
function nameSessions(provider: Provider): void {
  provider.Session.prototype.ensureClientContainer = function ensureClientContainer(
    this: Session,
    clientId: string,
  ) {
    if (this.sidFor(clientId) === undefined) this.sidFor(clientId, newId(idPrefixes.session));
  };
}

/**
 * Where a form comes without a session, the library wants to keep one that has never been saved, and would fail at it. And
 * after every error it wants to keep it once more, outside of all that answers errors: one that is gone, or can't be written.
 */
function keepSavedSessions(provider: Provider): void {
  provider.Session.prototype.persist = async function persistSaved(this: Session) {
    const { state } = visitOf('Session', this.uid) ?? {};
    if (state === 'gone' || state === 'unsaved') return '';
    return typeof this.exp === 'number' ? this.save(this.exp - Math.floor(Date.now() / 1000)) : '';
  };
}

/** Of the policy, those that a client may ask for. */
const prompts = ['none', 'login', 'consent'];

/** The library says that a prompt is none, and not which there are; it looks here for the first time where it would. */
function namePrompts({ OIDCContext: { prototype } }: Provider): void {
  Object.defineProperty(prototype, 'prompts', {
    configurable: true,
    get(this: { params: Record<string, unknown> }) {
      const { prompt } = this.params;
      const asked = typeof prompt === 'string' && prompt !== '' ? prompt.split(' ') : [];
      if (!asked.every((name) => prompts.includes(name)))
        throw new errors.InvalidRequest('unsupported prompt value requested: none, login and consent work');
      return new Set(asked);
    },
  });
}

/**
 * Where the library goes on with what a client has begun, it takes for granted where that leads, and sends errors there too:
 * so the client is not there for it unless it still may have that. See `requireStillAllowed`.
 */
function holdToNow({ Client: model }: Provider): void {
  const find = model.find.bind(model);
  model.find = async (id, ...rest) => {
    const client = await find(id, ...rest);
    const { route, params } = Provider.ctx?.oidc ?? {};
    if (client !== undefined && goingOn.has(route ?? '') && params?.client_id === id)
      requireStillAllowed(client, params.redirect_uri);
    return client;
  };
}

/** The browser goes on at once when its user has shown who it is. What comes later somebody has found in a tab left open. */
const answeredSeconds = 120;

/**
 * Two windows in which nobody was signed in yet, and then somebody in each: the second goes on once the first has, and the
 * library would lead it to a page to sign out which is not served. It is as over as any other sign-in whose browser has gone on
 * without it; and so is one that was answered and left, since its user may have signed out in another window meanwhile.
 */
function keepUsersApart({ Interaction: model }: Provider, runtime: IssuerRuntime): void {
  const find = model.find.bind(model);
  model.find = async (id, ...rest) => {
    const interaction = await find(id, ...rest);
    const { route, session } = Provider.ctx?.oidc ?? {};
    const { accountId: userId, ts = Number.POSITIVE_INFINITY } = interaction?.result?.login ?? {};
    if (userId === undefined || !goingOn.has(route ?? '')) return interaction;
    const signedIn = session?.accountId;
    const isLeft = signedIn === undefined && ts + answeredSeconds < runtime.now().getTime() / 1000;
    if (isLeft || (signedIn !== undefined && signedIn !== userId)) {
      // So that the library finds what it is of, and a device can be connected anew.
      Provider.ctx?.oidc.entity('Interaction', interaction);
      const reason = isLeft ? 'answered, and left' : 'somebody else has signed in in another window';
      const error = new errors.SessionNotFound(reason);
      error.allow_redirect = false;
      throw error;
    }
    return interaction;
  };
}

/** Codes and refresh tokens keep the organization that they are for. */
function keepOrganizations(provider: Provider): void {
  for (const model of [provider.AuthorizationCode, provider.RefreshToken, provider.DeviceCode]) {
    const members = [...model.IN_PAYLOAD, 'org'];
    Object.defineProperty(model, 'IN_PAYLOAD', { get: () => members });
  }
}

/** What a grant keeps of ours: see `grants.ts`. */
function keepWhatWasAgreed({ Grant }: Provider): void {
  const members = [...Grant.IN_PAYLOAD, 'unasked', 'organizationScopes', 'organizations'];
  Object.defineProperty(Grant, 'IN_PAYLOAD', { get: () => members });
}

/**
 * The library looks and then writes; of any number at once each would find that it is the first. And it forgets a proof
 * which is ahead of its time while it still takes it.
 */
function takeProofsOnce(provider: Provider, runtime: IssuerRuntime): void {
  const adapter = new RecordAdapter('ReplayDetection', runtime);
  provider.ReplayDetection.unique = async (issuer, jti, exp) =>
    adapter.insertOnce(`${issuer} ${jti}`, {}, new Date((exp + proofSeconds + 1) * 1000));
}

async function answerAsWeDo(
  context: Context,
  next: () => Promise<void>,
  headers: Record<string, string>,
): Promise<void> {
  for (const [name, value] of Object.entries(headers)) context.set(name, value);
  context.set('X-Content-Type-Options', 'nosniff');
  context.set('Cache-Control', 'no-store');
  takeLinkedCode(context);
  await next();
  // Nobody reads what stands in a redirect, and it would repeat what is in the URL.
  if (context.status === 303) context.body = '';
}
