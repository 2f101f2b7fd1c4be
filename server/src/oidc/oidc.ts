import type { EdgeEndpoint, RawEndpoint } from '../edge/edge.ts';
import type { RuntimeRoute } from '../edge/runtime-routes.ts';
import type { ErrorPages } from '../login/error-pages.ts';
import type { OutboundClient } from '../outbound/outbound-client.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import type { Meter } from '../verification/meter.ts';
import { FlowCaps } from './flow-caps.ts';
import { Interactions } from './interactions.ts';
import { IntrospectEndpoint } from './introspect.ts';
import type { IssuerSettings } from './issuer-settings.ts';
import { KeyinfoEndpoint } from './keyinfo.ts';
import { LibraryEndpoint, PostedAuthorization } from './library-endpoint.ts';
import { LogoutEndpoint } from './logout.ts';
import { paths } from './metadata.ts';
import { NotFoundReasons } from './not-found-reasons.ts';
import type { ProviderDependencies } from './provider.ts';
import { OidcProviders } from './providers.ts';
import { RegisterEndpoint } from './register.ts';
import { RevokeEndpoint } from './revoke.ts';
import type { RuntimeDependencies } from './runtime.ts';
import { TokenEndpoint } from './token-endpoint.ts';
import { TokenReader } from './token-reader.ts';
import { UserInfoEndpoint } from './userinfo.ts';

interface Dependencies extends RuntimeDependencies, ProviderDependencies {
  issuerSettings: IssuerSettings;
  keys: KeyDirectory;
  meter: Meter;
  errorPages: ErrorPages;
  /** For URLs that a client registers to be called later. */
  outbound: Pick<OutboundClient, 'checkUrl'>;
}

/** The OIDC runtime of all issuers. */
export interface Oidc {
  readonly providers: OidcProviders;
  /** For the pages of the hosted login. */
  readonly interactions: Interactions;
  readonly routes: readonly RuntimeRoute[];
}

/** Builds the runtime on what the services have. */
export function createOidc(deps: Dependencies): Oidc {
  const providers = new OidcProviders(deps);
  const tokens = new TokenReader(deps.clients);
  const nowMs = () => deps.now().getTime();
  const of = { ...deps, providers, tokens, nowMs, flowCaps: new FlowCaps(nowMs) };
  const library = new LibraryEndpoint({ ...of, notFoundReasons: new NotFoundReasons(nowMs) });
  return {
    providers,
    interactions: new Interactions(of),
    routes: routesOf({
      library,
      token: new TokenEndpoint({ ...of, library }),
      postedAuthorization: new PostedAuthorization(deps),
      userInfo: new UserInfoEndpoint(of),
      introspect: new IntrospectEndpoint(of),
      revoke: new RevokeEndpoint(of),
      keyinfo: new KeyinfoEndpoint(of),
      logout: new LogoutEndpoint(of),
      register: new RegisterEndpoint(of),
    }),
  };
}

interface Endpoints {
  library: RawEndpoint;
  token: RawEndpoint;
  postedAuthorization: RawEndpoint;
  userInfo: EdgeEndpoint;
  introspect: EdgeEndpoint;
  revoke: EdgeEndpoint;
  keyinfo: EdgeEndpoint;
  logout: EdgeEndpoint;
  register: EdgeEndpoint;
}

function routesOf(endpoints: Endpoints): readonly RuntimeRoute[] {
  const { library, token, postedAuthorization, userInfo, introspect, revoke, keyinfo, logout, register } =
    endpoints;
  const issuer = 'required';
  return [
    { path: paths.authorization, issuer, methods: { GET: library, POST: postedAuthorization } },
    { path: `${paths.authorization}/*`, issuer, methods: { GET: library } },
    // Pages ask these: what a page may read of an answer, the answer says.
    { path: paths.token, issuer, methods: { POST: token }, isPublic: true },
    { path: paths.pushed_authorization_request, issuer, methods: { POST: library }, isPublic: true },
    { path: paths.device_authorization, issuer, methods: { POST: library }, isPublic: true },
    { path: paths.code_verification, issuer, methods: { GET: library, POST: library } },
    { path: `${paths.code_verification}/*`, issuer, methods: { GET: library } },
    { path: paths.userinfo, issuer, methods: { GET: userInfo, POST: userInfo }, isPublic: true },
    { path: paths.introspection, issuer, methods: { POST: introspect } },
    { path: paths.revocation, issuer, methods: { POST: revoke }, isPublic: true },
    { path: paths.end_session, issuer, methods: { GET: logout, POST: logout } },
    { path: paths.registration, issuer, methods: { POST: register }, isPublic: true },
    { path: '/keyinfo', issuer, methods: { POST: keyinfo } },
  ];
}
