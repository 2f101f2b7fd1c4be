import { plans } from '../../suite/plans.ts';

const unsignedObject = 'oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported';

/** Modules that never come to hold an ID token. */
const withoutIdToken: readonly string[] = [
  'oidcc-discovery-endpoint-verification',
  'oidcc-response-type-missing',
  'oidcc-idtoken-signature',
  'oidcc-idtoken-unsigned',
  'oidcc-prompt-none-not-logged-in',
  'oidcc-ensure-registered-redirect-uri',
  'oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported',
  unsignedObject,
  'oidcc-ensure-request-object-with-redirect-uri',
  'oidcc-rp-initiated-logout-discovery-endpoint-verification',
  'own-redirect-uri-exact',
  'own-iss-parameter',
  'own-response-types',
  'own-repeated-parameters',
  'own-pkce-verifier',
  'own-pkce-plain',
  'own-code-binding',
  'own-client-authentication',
];

/** Every module that signs in whole, up to the ID token. */
export const everySignIn: readonly string[] = plans
  .flatMap(({ modules }) => modules.map(({ name }) => name))
  .filter((name) => !withoutIdToken.includes(name));

/** Every module that looks at the parameters with which a browser comes back. */
export const everyReturn: readonly string[] = [
  ...everySignIn,
  'oidcc-response-type-missing',
  'oidcc-prompt-none-not-logged-in',
  'own-pkce-verifier',
  'own-code-binding',
  'own-client-authentication',
];

/** Those of them to which the browser comes by a redirect. */
export const everyRedirect = everyReturn.filter((name) => name !== 'own-response-mode-form-post');

/** Modules that find out by prompt=none whether logging out did anything. */
export const everyLogoutProof: readonly string[] = [
  'oidcc-rp-initiated-logout',
  'oidcc-rp-initiated-logout-no-state',
  'oidcc-rp-initiated-logout-no-params',
  'oidcc-rp-initiated-logout-no-post-logout-redirect-uri',
  'oidcc-rp-initiated-logout-only-state',
];

/** Modules that hold UserInfo against the ID token. */
export const everyUserinfo: readonly string[] = [
  'oidcc-server',
  'oidcc-server-client-secret-post',
  'oidcc-userinfo-get',
  'oidcc-userinfo-post-header',
  'oidcc-userinfo-post-body',
  'oidcc-scope-profile',
  'oidcc-scope-email',
  'oidcc-scope-address',
  'oidcc-scope-phone',
  'oidcc-scope-all',
  'oidcc-alternate-happy-flow',
  'oidcc-claims-essential',
  'oidcc-refresh-token',
  'own-scope-minimal',
];

/** Modules that need a refresh token. */
export const everyRefresh: readonly string[] = [
  'oidcc-refresh-token',
  'own-refresh-rotation',
  'own-refresh-scope',
];

/** The module about request objects whose name is too long for a line. */
export const unsignedRequestObject = unsignedObject;
