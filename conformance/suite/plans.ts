import * as authentication from '../modules/authentication.ts';
import * as codeFlow from '../modules/code-flow.ts';
import { codeReuse, codeReuse30Seconds } from '../modules/code-reuse.ts';
import { discoveryEndpointVerification } from '../modules/discovery.ts';
import { idTokenSignature, idTokenUnsigned, requestUriUnsigned } from '../modules/left-out.ts';
import * as logout from '../modules/logout.ts';
import * as ownAuthorization from '../modules/own-authorization.ts';
import * as ownCodes from '../modules/own-codes.ts';
import * as ownHints from '../modules/own-hints.ts';
import * as ownTokens from '../modules/own-tokens.ts';
import { registeredRedirectUri } from '../modules/redirect-uri.ts';
import { refreshToken } from '../modules/refresh-token.ts';
import { requestObjectWithRedirectUri, unsignedRequestObject } from '../modules/request-objects.ts';
import * as scopes from '../modules/scopes.ts';
import * as tolerated from '../modules/tolerated-parameters.ts';
import { userinfoGet, userinfoPostBody, userinfoPostHeader } from '../modules/userinfo.ts';
import type { ConformancePlan } from './module.ts';

/** The certification profiles of the OpenID Foundation, modules in their order, and one plan of our own. */
export const plans: readonly ConformancePlan[] = [
  {
    name: 'oidcc-config-certification-test-plan',
    profile: 'Config OP',
    modules: [discoveryEndpointVerification],
  },
  {
    name: 'oidcc-basic-certification-test-plan',
    profile: 'Basic OP',
    modules: [
      codeFlow.server,
      codeFlow.responseTypeMissing,
      idTokenSignature,
      idTokenUnsigned,
      userinfoGet,
      userinfoPostHeader,
      userinfoPostBody,
      codeFlow.withoutNonce,
      scopes.scopeProfile,
      scopes.scopeEmail,
      scopes.scopeAddress,
      scopes.scopePhone,
      scopes.scopeAll,
      codeFlow.alternateHappyFlow,
      tolerated.displayPage,
      tolerated.displayPopup,
      authentication.promptLogin,
      authentication.promptNoneNotLoggedIn,
      authentication.promptNoneLoggedIn,
      authentication.maxAge1,
      authentication.maxAge10000,
      codeFlow.unknownParameter,
      authentication.idTokenHint,
      tolerated.loginHint,
      tolerated.uiLocales,
      tolerated.claimsLocales,
      tolerated.acrValues,
      codeReuse,
      codeReuse30Seconds,
      registeredRedirectUri,
      codeFlow.postRequest,
      codeFlow.serverClientSecretPost,
      requestUriUnsigned,
      unsignedRequestObject,
      scopes.claimsEssential,
      requestObjectWithRedirectUri,
      refreshToken,
      codeFlow.validPkce,
    ],
  },
  {
    name: 'oidcc-rp-initiated-logout-certification-test-plan',
    profile: 'RP-Initiated OP',
    modules: [
      logout.logoutDiscovery,
      logout.logout,
      logout.badRedirectUri,
      logout.modifiedIdTokenHint,
      logout.noIdTokenHint,
      logout.noParameters,
      logout.noRedirectUri,
      logout.logoutNoState,
      logout.onlyState,
      logout.queryAddedToRedirectUri,
      logout.badIdTokenHint,
    ],
  },
  {
    // What the plans leave to other profiles or to nobody, and we promise: RFC 6749, 6750, 7636, 9207, 9700.
    name: 'own-plan',
    profile: 'beyond the plans',
    modules: [
      ownAuthorization.redirectUriExact,
      ownAuthorization.issParameter,
      ownAuthorization.formPost,
      ownAuthorization.responseTypes,
      ownAuthorization.repeatedParameters,
      ownCodes.pkceVerifier,
      ownCodes.pkcePlain,
      ownCodes.codeBinding,
      ownCodes.clientAuthentication,
      ownTokens.refreshRotation,
      ownTokens.refreshScope,
      ownTokens.scopeMinimal,
      ownTokens.userinfoRefusals,
      ownTokens.logoutEndsTokens,
      ownHints.hintOfOtherUser,
      ownHints.forgedHint,
      ownHints.logoutClientMismatch,
    ],
  },
];
