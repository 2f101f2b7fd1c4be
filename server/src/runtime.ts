import type { EdgeEndpoint } from './edge/edge.ts';
import { loggedRoute } from './edge/logged-route.ts';
import { byPublicName } from './edge/public-name.ts';
import { type RuntimeRoute, RuntimeRoutes } from './edge/runtime-routes.ts';
import type { AppError } from './errors.ts';
import type { Log } from './logs/log.ts';

interface RuntimeEndpoints {
  publicUrl: string;
  requestOtp: EdgeEndpoint;
  verifyOtp: EdgeEndpoint;
  refresh: EdgeEndpoint;
  logout: EdgeEndpoint;
  authMe: EdgeEndpoint;
  jwks: EdgeEndpoint;
  discovery: EdgeEndpoint;
  /** Who answers an application what is no request to sign in. */
  refusingApplication: (error: () => AppError) => EdgeEndpoint;
  /** Those of the OIDC runtime. */
  oidc: readonly RuntimeRoute[];
  /** The pages of the hosted login. */
  login: readonly RuntimeRoute[];
  /** Who answers a user what no endpoint of its own does. */
  refusingUser: (error: () => AppError) => EdgeEndpoint;
  log: Log;
}

/** Every path below `/auth` and below an issuer's id, once, with who answers it. Their contracts stand in `app.ts`. */
export function createRuntimeRoutes({
  publicUrl,
  requestOtp,
  verifyOtp,
  refresh,
  logout,
  authMe,
  jwks,
  discovery,
  refusingApplication,
  oidc,
  login,
  refusingUser: refusing,
  log,
}: RuntimeEndpoints): RuntimeRoutes {
  const auth: RuntimeRoute[] = [
    {
      path: '/auth/request-otp',
      issuer: 'optional',
      methods: { POST: requestOtp },
      refusing: refusingApplication,
    },
    {
      path: '/auth/verify-otp',
      issuer: 'optional',
      methods: { POST: verifyOtp },
      refusing: refusingApplication,
    },
    { path: '/auth/refresh', issuer: 'optional', methods: { POST: refresh }, refusing },
    { path: '/auth/logout', issuer: 'optional', methods: { POST: logout }, refusing },
    { path: '/auth/me', issuer: 'optional', methods: { GET: authMe }, refusing },
  ];
  return new RuntimeRoutes([
    { path: '/jwks.json', issuer: 'required', methods: { GET: jwks }, isPublic: true },
    {
      path: '/.well-known/openid-configuration',
      issuer: 'required',
      methods: { GET: discovery },
      isPublic: true,
    },
    {
      path: '/.well-known/oauth-authorization-server',
      issuer: 'required',
      methods: { GET: discovery },
      isPublic: true,
    },
    ...[...auth, ...byPublicName(publicUrl, [...oidc, ...login])].map((route) => loggedRoute(route, log)),
  ]);
}
