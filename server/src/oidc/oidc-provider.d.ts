/** The library is JavaScript. These are the parts of it that are used here, as of the version in the lockfile. */
declare module 'oidc-provider' {
  import type { KeyObject } from 'node:crypto';
  import type { IncomingMessage, ServerResponse } from 'node:http';

  /** What a model keeps. Times are seconds since 1970. */
  export interface RecordPayload {
    jti?: string;
    kind?: string;
    exp?: number;
    iat?: number;
    uid?: string;
    userCode?: string;
    grantId?: string;
    accountId?: string;
    clientId?: string;
    sid?: string;
    sessionUid?: string;
    consumed?: number;
    amr?: string[];
    acr?: string;
    authTime?: number;
    scope?: string | undefined;
    org?: string | null;
    authorizations?: Authorizations;
    [member: string]: unknown;
  }

  /** What a browser login has with each client. `organization` is ours: what the user has picked for it, null for all; nothing where it has not. So is `isPicking`. */
  export type Authorizations = Record<
    string,
    { sid?: string; grantId?: string; organization?: string | null; isPicking?: boolean }
  >;

  /** Where models are kept; one for each model of a provider. */
  export interface Adapter {
    upsert(id: string, payload: RecordPayload, expiresInSeconds?: number): Promise<void>;
    find(id: string): Promise<RecordPayload | undefined>;
    findByUid(uid: string): Promise<RecordPayload | undefined>;
    findByUserCode(userCode: string): Promise<RecordPayload | undefined>;
    consume(id: string): Promise<void>;
    destroy(id: string): Promise<void>;
    revokeByGrantId(grantId: string): Promise<void>;
  }

  export interface Client {
    readonly clientId: string;
    readonly clientName?: string;
    readonly applicationType: 'web' | 'native';
    readonly clientAuthMethod: string;
    readonly redirectUris: readonly string[];
    readonly grantTypes: readonly string[];
    readonly scope?: string;
    readonly idTokenSignedResponseAlg: string;
    grantTypeAllowed(type: string): boolean;
    redirectUriAllowed(uri: string): boolean;
    includeSid(): boolean;
    compareClientSecret(secret: string): boolean | Promise<boolean>;
    readonly [member: string]: unknown;
  }

  export interface Model extends RecordPayload {
    save(ttl?: number): Promise<string>;
    destroy(): Promise<void>;
    readonly isExpired: boolean;
  }

  export interface Session extends Model {
    readonly id: string;
    uid: string;
    loginTs?: number;
    touched?: boolean;
    /** The id that it had before this request gave it another one. */
    readonly oldId?: string;
    sidFor(clientId: string, sid?: string): string | undefined;
    grantIdFor(clientId: string, grantId?: string): string | undefined;
    ensureClientContainer(clientId: string): void;
    persist(): Promise<string>;
    authTime(): number | undefined;
  }

  export interface Grant extends Model {
    addOIDCScope(scope: string): void;
    addOIDCClaims(claims: readonly string[]): void;
    addResourceScope(resource: string, scope: string): void;
    getOIDCScope(): string;
    getOIDCScopeFiltered(filter: Set<string>): string;
    getOIDCClaims(): string[];
    getResourceScope(resource: string): string;
    resources?: Record<string, string>;
    /** Ours: what a client of the issuer's own was allowed without anybody being asked. */
    unasked?: boolean;
    /** Ours: the most of scopes in organizations that the user has agreed to; null: whatever it has. */
    organizationScopes?: string[] | null;
    /** Ours: of which organizations the user has agreed that tokens tell; null and absent: of all that it has. */
    organizations?: string[] | null;
  }

  export interface Token extends Model {
    readonly kind: string;
    client: Client;
    scopes: Set<string>;
    resourceServer?: ResourceServer;
    readonly expiration: number;
    readonly tokenType: string;
    aud?: string;
    jkt?: string;
    gty?: string;
    rotations?: number;
    format?: string;
    isSenderConstrained(): boolean;
    getValueAndPayload(): Promise<{ value: string; payload?: RecordPayload }>;
  }

  export interface Prompt {
    name: string;
    reasons: string[];
    details: Record<string, unknown>;
  }

  export interface InteractionResult {
    login?: {
      accountId: string;
      amr?: string[];
      acr?: string;
      remember?: boolean;
      ts?: number;
    };
    consent?: { grantId?: string };
    organization?: { org_id: string | null };
    /** Ours: the user wants to sign in as somebody else before it answers. */
    other_account?: true;
    error?: string;
    error_description?: string;
  }

  export interface Interaction extends Model {
    readonly uid: string;
    prompt: Prompt;
    params: Record<string, unknown>;
    session?: { accountId: string; uid?: string; amr?: string[] };
    result?: InteractionResult;
    lastSubmission?: InteractionResult;
    returnTo: string;
    deviceCode?: string;
    persist(): Promise<string>;
  }

  export interface ResourceServerInfo {
    scope: string;
    audience?: string;
    accessTokenTTL?: number;
    accessTokenFormat?: 'opaque' | 'jwt';
    jwt?: { sign?: { alg: string } };
  }

  export class ResourceServer {
    readonly scope: string;
    readonly scopes: Set<string>;
    readonly audience?: string;
    identifier(): string;
  }

  export interface Account {
    accountId: string;
    claims(
      use: 'id_token' | 'userinfo',
      scope: string,
      claims: Record<string, unknown>,
      rejected: readonly string[],
    ): Promise<Record<string, unknown>>;
    [member: string]: unknown;
  }

  export interface OidcContext {
    readonly provider: Provider;
    readonly route: string;
    readonly client?: Client;
    readonly account?: Account;
    readonly grant?: Grant;
    session: Session;
    result?: InteractionResult;
    params: Record<string, unknown>;
    entity(name: string, value: unknown): void;
    readonly entities: {
      AuthorizationCode?: Token;
      RefreshToken?: Token;
      RotatedRefreshToken?: Token;
      DeviceCode?: Token;
      AccessToken?: Token;
      Client?: Client;
      Grant?: Grant;
      Interaction?: Interaction;
      Account?: Account;
    };
    readonly resourceServers: Record<string, ResourceServer>;
    readonly requestParamScopes: Set<string>;
    readonly requestParamOIDCScopes: Set<string>;
    readonly requestParamClaims: Set<string>;
    /** The parameter `claims`. */
    readonly claims: { readonly id_token?: { readonly sub?: { readonly value?: unknown } | null } };
    readonly prompts: Set<string>;
    entity(name: string, value: unknown): void;
    urlFor(name: string, options?: Record<string, string>): string;
  }

  export interface Context {
    readonly req: IncomingMessage;
    readonly res: ServerResponse;
    readonly oidc: OidcContext;
    readonly method: string;
    readonly path: string;
    querystring: string;
    status: number;
    body: unknown;
    type: string;
    get(name: string): string;
    set(name: string, value: string): void;
    readonly cookies: {
      get(name: string, options?: Record<string, unknown>): string | undefined;
      set(name: string, value: string | null, options?: Record<string, unknown>): void;
    };
  }

  export class ExternalSigningKey {
    kid: string;
    alg: string;
    keyObject(): KeyObject;
    sign(data: Uint8Array): Promise<Uint8Array>;
  }

  interface ModelClass<T> {
    new (payload?: RecordPayload): T;
    find(id: string, options?: { ignoreExpiration?: boolean }): Promise<T | undefined>;
    findByUid(uid: string): Promise<T | undefined>;
    readonly prototype: T;
    readonly IN_PAYLOAD: string[];
    readonly adapter: Adapter;
  }

  export type GrantTypeHandler = (context: Context) => Promise<void>;

  export class Provider {
    constructor(issuer: string, configuration: Record<string, unknown>);
    readonly issuer: string;
    proxy: boolean;
    silent: boolean;
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
    /** Called by the constructor, for each grant type that is on. */
    registerGrantType(name: string, handler: GrantTypeHandler, ...rest: unknown[]): void;
    use(middleware: (context: Context, next: () => Promise<void>) => Promise<void>): this;
    on(event: 'server_error', listener: (context: Context, error: unknown) => void): this;
    on(event: `${string}.error`, listener: (context: Context, error: OIDCProviderError) => void): this;
    on(event: 'error', listener: (error: unknown, context: Context | undefined) => void): this;
    createContext(request: IncomingMessage, response: ServerResponse): Context;
    cookieName(type: 'session' | 'interaction' | 'resume'): string;
    interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<Interaction>;
    interactionResult(
      request: IncomingMessage,
      response: ServerResponse,
      result: InteractionResult,
      options?: { mergeWithLastSubmission?: boolean },
    ): Promise<string>;
    readonly Client: {
      find(id: string): Promise<Client | undefined>;
      readonly prototype: {
        grantTypeAllowed(type: string): boolean;
        includeSid(): boolean;
        compareClientSecret(this: Client, secret: string): boolean | Promise<boolean>;
      };
    };
    /** What a request is to the library, `ctx.oidc`. */
    readonly OIDCContext: { readonly prototype: object };
    readonly Session: ModelClass<Session>;
    readonly Grant: ModelClass<Grant>;
    readonly Interaction: ModelClass<Interaction>;
    readonly AccessToken: ModelClass<Token>;
    readonly ClientCredentials: ModelClass<Token>;
    readonly AuthorizationCode: ModelClass<Token>;
    readonly RefreshToken: ModelClass<Token>;
    readonly DeviceCode: ModelClass<Token>;
    readonly ReplayDetection: {
      unique(issuer: string, jti: string, exp: number): Promise<boolean>;
      readonly adapter: Adapter;
    };
    readonly RegistrationAccessToken: ModelClass<Token>;
    static readonly ctx: Context | undefined;
  }

  export class OIDCProviderError extends Error {
    constructor(status: number, message: string);
    error: string;
    error_description?: string;
    error_detail?: string;
    allow_redirect?: boolean;
    scope?: string;
    expose: boolean;
    status: number;
    statusCode: number;
  }

  interface DescribedError {
    new (description?: string, options?: { cause?: unknown } | string): OIDCProviderError;
  }

  export const errors: {
    OIDCProviderError: typeof OIDCProviderError;
    AccessDenied: DescribedError;
    InvalidRequest: new (description?: string, status?: number) => OIDCProviderError;
    InvalidGrant: new (detail?: string) => OIDCProviderError;
    InvalidToken: new (detail?: string) => OIDCProviderError;
    InvalidTarget: DescribedError;
    InvalidScope: new (description: string, scope?: string) => OIDCProviderError;
    InvalidRequestUri: DescribedError;
    LoginRequired: DescribedError;
    SessionNotFound: DescribedError;
    InvalidRedirectUri: new () => OIDCProviderError;
    UnauthorizedClient: DescribedError;
    InvalidClientMetadata: new (description: string) => OIDCProviderError;
    TemporarilyUnavailable: DescribedError;
    UnmetAuthenticationRequirements: DescribedError;
    CustomOIDCProviderError: new (error: string, description: string) => OIDCProviderError;
  };

  interface PolicyChecks extends Array<unknown> {
    remove(reason: string): void;
  }
  interface PolicyPrompt {
    readonly name: string;
    readonly checks: PolicyChecks;
    details: (context: Context) => Record<string, unknown>;
  }
  interface Policy extends Array<PolicyPrompt> {
    get(name: string): PolicyPrompt;
    add(prompt: PolicyPrompt, index?: number): void;
  }
  export const interactionPolicy: {
    base(): Policy;
    Prompt: new (
      info: { name: string; requestable?: boolean },
      ...rest: (
        | PolicyCheck
        | ((context: Context) => Record<string, unknown> | Promise<Record<string, unknown>>)
      )[]
    ) => PolicyPrompt;
    Check: {
      new (
        reason: string,
        description: string,
        error: string,
        check: (context: Context) => boolean | Promise<boolean>,
        details?: (context: Context) => Record<string, unknown> | Promise<Record<string, unknown>>,
      ): PolicyCheck;
      readonly REQUEST_PROMPT: true;
      readonly NO_NEED_TO_PROMPT: false;
    };
  };
  interface PolicyCheck {
    readonly reason: string;
  }
}
