/** A client as it is registered at the provider. */
export interface ClientConfig {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly authMethod: 'client_secret_basic' | 'client_secret_post';
  readonly redirectUri: string;
  readonly postLogoutRedirectUri: string;
}

/** What a run needs to know; the file that `--config` names holds it in snake_case. */
export interface SuiteConfig {
  readonly issuer: string;
  readonly client: ClientConfig;
  readonly secondClient: ClientConfig;
  /** Addresses of users, `{n}` standing for a number, so that a provider that spaces its mails lets all modules in. */
  readonly address: string;
  /** Seconds between the first and the second use of a code in oidcc-codereuse-30seconds. */
  readonly codeReuseSeconds: number;
  /** Claims of ID tokens that no scope asks for and that the provider documents. */
  readonly extraIdTokenClaims: readonly string[];
}

/** How the code of a sign-in is found. */
export type CodeConfig =
  | { readonly command: readonly string[] }
  | { readonly mailboxUrl: string; readonly authorization: string | undefined };

type Members = Readonly<Record<string, unknown>>;

/**
 * Reads the members of a config file.
 *
 * @throws TypeError that names the member and what it should be
 */
export function readSuiteConfig(members: Members): SuiteConfig {
  const shared = {
    redirect_uri: members.redirect_uri,
    post_logout_redirect_uri: members.post_logout_redirect_uri,
  };
  const delay = members.code_reuse_seconds ?? 30;
  if (typeof delay !== 'number' || delay < 0)
    throw new TypeError('code_reuse_seconds is a number of seconds');
  const extra = members.extra_id_token_claims ?? [];
  if (!isStrings(extra)) throw new TypeError('extra_id_token_claims is a list of names');
  return {
    issuer: url(members, 'issuer'),
    client: readClient(members, 'client', shared),
    secondClient: readClient(members, 'second_client', shared),
    address: members.address === undefined ? 'conformance+{n}@example.com' : text(members, 'address'),
    codeReuseSeconds: delay,
    extraIdTokenClaims: extra,
  };
}

/** Reads member `code` of a config file: `{ "command": [...] }` or `{ "mailbox_url", "authorization"? }`. */
export function readCodeConfig(members: Members): CodeConfig {
  const code = members.code;
  if (!isObject(code)) throw new TypeError('code says how the code of a sign-in is found');
  if (code.command !== undefined) {
    if (!isStrings(code.command) || code.command.length === 0) {
      throw new TypeError('code.command is a program and its arguments, as a list');
    }
    return { command: code.command };
  }
  const authorization = code.authorization === undefined ? undefined : text(code, 'authorization');
  return { mailboxUrl: url(code, 'mailbox_url'), authorization };
}

function readClient(members: Members, name: string, shared: Members): ClientConfig {
  const own = members[name];
  if (!isObject(own)) throw new TypeError(`${name} is an object: client_id, client_secret, redirect_uri, …`);
  const client = { ...shared, ...own };
  const authMethod = client.token_endpoint_auth_method ?? 'client_secret_basic';
  if (authMethod !== 'client_secret_basic' && authMethod !== 'client_secret_post') {
    throw new TypeError(`${name}.token_endpoint_auth_method is client_secret_basic or client_secret_post`);
  }
  return {
    clientId: text(client, 'client_id', name),
    clientSecret: text(client, 'client_secret', name),
    authMethod,
    redirectUri: url(client, 'redirect_uri', name),
    postLogoutRedirectUri: url(client, 'post_logout_redirect_uri', name),
  };
}

function text(members: Members, name: string, of = ''): string {
  const value = members[name];
  if (typeof value === 'string' && value !== '') return value;
  throw new TypeError(`${of === '' ? '' : `${of}.`}${name} is missing`);
}

function url(members: Members, name: string, of = ''): string {
  const value = text(members, name, of);
  if (!URL.canParse(value)) throw new TypeError(`${of === '' ? '' : `${of}.`}${name} is no URL`);
  return value;
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}
