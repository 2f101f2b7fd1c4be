/** The hard boundary between real and trial traffic; how it is spelled on the wire is the key profile's matter. */
export type Environment = 'live' | 'sandbox';

/** `secret` for a backend, `publishable` for code that anyone can read. */
export type KeyKind = 'secret' | 'publishable';

export const environments = ['live', 'sandbox'] as const satisfies readonly Environment[];
export const keyKinds = ['secret', 'publishable'] as const satisfies readonly KeyKind[];

export const presetNames = ['standard', 'otp', 'tenant-header', 'sandbox'] as const;
export type PresetName = (typeof presetNames)[number];

export const errorFormats = ['nested', 'flat', 'problem'] as const;
export type ErrorFormat = (typeof errorFormats)[number];

export const rateLimitHeaderStyles = ['x-ratelimit', 'ietf'] as const;
export type RateLimitHeaderStyle = (typeof rateLimitHeaderStyles)[number];

export const browserPolicies = ['allow', 'warn', 'deny'] as const;
/** What a secret key that arrives from a browser causes. */
export type BrowserPolicy = (typeof browserPolicies)[number];

export interface EnvironmentNames {
  /** What `{environment}` becomes in a key. */
  readonly prefix: string;
  /** What the environment header of an answer says. */
  readonly label: string;
}

export interface TenantHeader {
  readonly name: string;
  /** Whether a request without it is refused. */
  readonly required: boolean;
}

/**
 * How an issuer's keys look and how its errors speak. Its members are spelled as on the wire, since it is stored as
 * JSON and answered as it is. Header names keep the case they were given in; compare them lower-cased.
 */
export interface KeyProfile {
  readonly preset: PresetName;
  readonly key_headers: readonly string[];
  readonly prefix_template: string;
  readonly kinds: Readonly<Record<KeyKind, string>>;
  readonly environments: Readonly<Record<Environment, EnvironmentNames>>;
  readonly tenant_header: TenantHeader | null;
  readonly environment_header: string;
  readonly error_format: ErrorFormat;
  readonly rate_limit_headers: readonly RateLimitHeaderStyle[];
  readonly secret_keys_in_browsers: BrowserPolicy;
}

/** The members that decide what a key begins with. */
export type PrefixParts = Pick<KeyProfile, 'prefix_template' | 'kinds' | 'environments'>;

/** What every key begins with. */
export const renderedPrefixPattern = /^[a-z0-9_]{2,40}$/;

/** A beginning that a profile gives its keys, and what it says; `kind` is null where the template names no kind. */
export interface RenderedPrefix {
  readonly prefix: string;
  readonly kind: KeyKind | null;
  readonly environment: Environment;
}

/** What a key of this kind and environment begins with. */
export function renderPrefix(profile: PrefixParts, kind: KeyKind, environment: Environment): string {
  // Functions as replacements: in a string a `$&` would be expanded.
  return profile.prefix_template
    .replaceAll('{kind}', () => profile.kinds[kind])
    .replaceAll('{environment}', () => profile.environments[environment].prefix);
}

/** Every beginning a profile gives its keys: two, or four where the template names the kind. */
export function renderedPrefixes(profile: PrefixParts): RenderedPrefix[] {
  const kinds = profile.prefix_template.includes('{kind}') ? keyKinds : [null];
  return kinds.flatMap((kind) =>
    environments.map((environment) => ({
      prefix: renderPrefix(profile, kind ?? 'secret', environment),
      kind,
      environment,
    })),
  );
}

/** The environment that a secret's beginning names, be it a real key or not; null if it is none of this profile's. */
export function environmentOfSecret(profile: PrefixParts, secret: string): Environment | null {
  return prefixOfSecret(profile, secret)?.environment ?? null;
}

/** The kind that a secret's beginning names; null if it is none of this profile's, or the profile's keys name no kind. */
export function kindOfSecret(profile: PrefixParts, secret: string): KeyKind | null {
  return prefixOfSecret(profile, secret)?.kind ?? null;
}

/** What the environment header says, such as `LIVE`. */
export function environmentLabel(
  profile: Pick<KeyProfile, 'environments'>,
  environment: Environment,
): string {
  return profile.environments[environment].label;
}

const prefixesByProfile = new WeakMap<PrefixParts, readonly RenderedPrefix[]>();

function prefixOfSecret(profile: PrefixParts, secret: string): RenderedPrefix | undefined {
  let prefixes = prefixesByProfile.get(profile);
  if (prefixes === undefined) {
    prefixes = renderedPrefixes(profile);
    prefixesByProfile.set(profile, prefixes);
  }
  // The first hit is the only one: a profile of which one prefix begins with another is refused.
  return prefixes.find(({ prefix }) => secret.startsWith(prefix));
}
