import type { CryptoKey } from 'jose';
import type { ClientConfig } from '../config.ts';
import type { Outcome } from '../suite/outcome.ts';
import type { OidcConfiguration, OidcProvider } from './oidc-provider.ts';
import type { WireAnswer, WireRequest } from './wire.ts';

/** What a mutant may use of the provider that it spoils. */
export interface Spoiled {
  readonly provider: OidcProvider;
  readonly issuer: string;
  readonly clients: readonly ClientConfig[];
  readonly signingKey: CryptoKey;
  /** Whatever a mutant wants to keep from one request to the next. */
  readonly memory: Map<string, string>;
}

type MaybeAnswer = WireAnswer | undefined;

/** A way in which a provider is another than the bare one. */
export interface Variation {
  readonly name: string;
  /** One sentence: what the provider does. */
  readonly does: string;
  readonly configure?: (configuration: OidcConfiguration) => void;
  readonly patch?: (spoiled: Spoiled) => void;
  /** Changes a request before the provider sees it, or answers in its place. */
  readonly request?: (request: WireRequest, spoiled: Spoiled) => MaybeAnswer | Promise<MaybeAnswer>;
  /** Changes an answer before the browser or the client sees it. */
  readonly answer?: (answer: WireAnswer, request: WireRequest, spoiled: Spoiled) => void | Promise<void>;
}

/** A fault of a provider, and the modules that have to find it. */
export interface Mutant extends Variation {
  /** Every module whose outcome changes, and to what; all others come out as without the fault. */
  readonly caughtBy: Readonly<Record<string, 'fail' | 'warning'>>;
}

/** Another way to be right, at which no module may fail. */
export interface Variant extends Variation {
  /** Every module whose outcome changes, and to what. */
  readonly outcomes: Readonly<Record<string, Exclude<Outcome, 'fail'>>>;
}

/** Where the bare provider has its endpoints. */
export const paths = {
  authorization: '/auth',
  token: '/token',
  userinfo: '/me',
  keys: '/jwks',
  endSession: '/session/end',
  metadata: '/.well-known/openid-configuration',
} as const;

/** The same outcome for several modules. */
export function all<Each extends Outcome>(outcome: Each, modules: readonly string[]): Record<string, Each> {
  return Object.fromEntries(modules.map((name) => [name, outcome]));
}

/** A fault at the authorization endpoint's door: what the request says is changed on its way in. */
export function atAuthorization(
  edit: (parameters: URLSearchParams, request: WireRequest, spoiled: Spoiled) => MaybeAnswer,
): Pick<Mutant, 'request'> {
  return {
    request: (request, spoiled) => {
      if (request.url.pathname !== paths.authorization) return undefined;
      return edit(request.form ?? request.url.searchParams, request, spoiled);
    },
  };
}

/** A fault at the token endpoint's door. */
export function atToken(
  edit: (form: URLSearchParams, request: WireRequest, spoiled: Spoiled) => MaybeAnswer | Promise<MaybeAnswer>,
): Pick<Mutant, 'request'> {
  return {
    request: (request, spoiled) => {
      if (request.url.pathname !== paths.token || request.form === undefined) return undefined;
      return edit(request.form, request, spoiled);
    },
  };
}

/** A fault in what one endpoint answers. */
export function inAnswerOf(
  path: string,
  edit: (answer: WireAnswer, request: WireRequest, spoiled: Spoiled) => void | Promise<void>,
): Pick<Mutant, 'answer'> {
  return {
    answer: (answer, request, spoiled) => {
      if (request.url.pathname === path) return edit(answer, request, spoiled);
      return undefined;
    },
  };
}

/** A fault in where browsers are sent back to with what they carry. */
export function inReturn(edit: (url: URL, spoiled: Spoiled) => void): Pick<Mutant, 'answer'> {
  return {
    answer: (answer, request, spoiled) => {
      if (!request.url.pathname.startsWith(paths.authorization)) return;
      const location = URL.parse(answer.headers.location ?? '');
      if (location === null || location.origin === new URL(spoiled.issuer).origin) return;
      edit(location, spoiled);
      answer.headers.location = location.href;
    },
  };
}
