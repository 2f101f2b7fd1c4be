import type { EdgeEndpoint } from './edge/edge.ts';
import { RuntimeRoutes } from './edge/runtime-routes.ts';

interface RuntimeEndpoints {
  requestOtp: EdgeEndpoint;
  verifyOtp: EdgeEndpoint;
  refresh: EdgeEndpoint;
  logout: EdgeEndpoint;
  authMe: EdgeEndpoint;
  jwks: EdgeEndpoint;
  discovery: EdgeEndpoint;
}

/** Every path below `/auth` and below an issuer's id, once, with who answers it. Their contracts stand in `app.ts`. */
export function createRuntimeRoutes({
  requestOtp,
  verifyOtp,
  refresh,
  logout,
  authMe,
  jwks,
  discovery,
}: RuntimeEndpoints): RuntimeRoutes {
  return new RuntimeRoutes([
    { path: '/auth/request-otp', issuer: 'optional', methods: { POST: requestOtp } },
    { path: '/auth/verify-otp', issuer: 'optional', methods: { POST: verifyOtp } },
    { path: '/auth/refresh', issuer: 'optional', methods: { POST: refresh } },
    { path: '/auth/logout', issuer: 'optional', methods: { POST: logout } },
    { path: '/auth/me', issuer: 'optional', methods: { GET: authMe } },
    { path: '/jwks.json', issuer: 'required', methods: { GET: jwks }, isPublic: true },
    {
      path: '/.well-known/openid-configuration',
      issuer: 'required',
      methods: { GET: discovery },
      isPublic: true,
    },
  ]);
}
