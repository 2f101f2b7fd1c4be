import type { IncomingMessage, ServerResponse } from 'node:http';

/** What oidc-provider, which has no types of its own, does here. */
export interface OidcProvider {
  callback(): (request: IncomingMessage, response: ServerResponse) => void;
  interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<Interaction>;
  interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>;
  readonly Grant: GrantModel;
  readonly Client: ClientModel;
  readonly AuthorizationCode: StoredModel;
  readonly RefreshToken: StoredModel;
  readonly IdToken: { validate(token: string, client: unknown): Promise<unknown> };
}

export interface Interaction {
  readonly uid: string;
  readonly prompt: { readonly name: string; readonly details: Readonly<Record<string, unknown>> };
  readonly params: Readonly<Record<string, unknown>>;
  readonly session?: { readonly accountId: string };
  readonly grantId?: string;
}

export interface Grant {
  addOIDCScope(scope: string): void;
  addOIDCClaims(claims: readonly string[]): void;
  save(): Promise<string>;
}

interface GrantModel {
  new (of: { accountId: string | undefined; clientId: string }): Grant;
  find(id: string): Promise<Grant | undefined>;
}

interface ClientModel {
  find(id: string): Promise<unknown>;
  readonly prototype: {
    redirectUris: readonly string[];
    postLogoutRedirectUris: readonly string[];
    redirectUriAllowed(uri: string): boolean;
    postLogoutRedirectUriAllowed(uri: string): boolean;
    compareClientSecret(secret: string): boolean | Promise<boolean>;
  };
}

interface StoredModel {
  find(id: string, options?: { ignoreExpiration?: boolean }): Promise<Stored | undefined>;
  readonly prototype: { consume(): Promise<void> };
}

interface Stored {
  readonly clientId: string;
  readonly redirectUri?: string;
}

/** Its configuration, as its documentation names the members. */
export type OidcConfiguration = Record<string, unknown>;

type Constructor = new (issuer: string, configuration: OidcConfiguration) => OidcProvider;

/** A name that the compiler does not follow, since what it would find there has no types. */
const packageName: string = 'oidc-provider';

/** Makes a provider. It says in warnings what nobody should do in production; the calibration does just that. */
export async function makeOidcProvider(
  issuer: string,
  configuration: OidcConfiguration,
): Promise<OidcProvider> {
  const { Provider } = (await import(packageName)) as { Provider: Constructor };
  return new Provider(issuer, configuration);
}
