import { createAccount } from './accounts/create.route.ts';
import { deleteAccount } from './accounts/delete.route.ts';
import { getAccount } from './accounts/get.route.ts';
import { listAccountsRoute } from './accounts/list.route.ts';
import { getOwnAccount, updateOwnAccount } from './accounts/own.route.ts';
import { activateAccount, suspendAccount } from './accounts/set-status.route.ts';
import { updateAccount } from './accounts/update.route.ts';
import { createApiKeyRoutes } from './api-keys/create.route.ts';
import { deleteApiKeyRoutes } from './api-keys/delete.route.ts';
import { disableApiKeyRoutes } from './api-keys/disable.route.ts';
import { enableApiKeyRoutes } from './api-keys/enable.route.ts';
import { getApiKeyRoutes } from './api-keys/get.route.ts';
import { importApiKeyRoutes } from './api-keys/import.route.ts';
import { listApiKeyRoutes } from './api-keys/list.route.ts';
import { revokeApiKeyRoutes } from './api-keys/revoke.route.ts';
import { rotateApiKeyRoutes } from './api-keys/rotate.route.ts';
import { updateApiKeyRoutes } from './api-keys/update.route.ts';
import { createClient } from './clients/create.route.ts';
import { deleteClient } from './clients/delete.route.ts';
import { getClient } from './clients/get.route.ts';
import { listClientsRoute } from './clients/list.route.ts';
import { rotateClientSecret } from './clients/rotate-secret.route.ts';
import { activateClient, suspendClient } from './clients/set-status.route.ts';
import { updateClient } from './clients/update.route.ts';
import { discoveryContracts } from './discovery/discovery.ts';
import { errorPageContract } from './error-pages/error-pages.routes.ts';
import { listEventsRoute } from './events/list.route.ts';
import { createGroup } from './groups/create.route.ts';
import { deleteGroup } from './groups/delete.route.ts';
import { getGroup } from './groups/get.route.ts';
import { listGroupsRoute } from './groups/list.route.ts';
import { updateGroup } from './groups/update.route.ts';
import { healthContracts } from './health/health.routes.ts';
import { homeContract } from './home/home.routes.ts';
import type { Route } from './http/route.ts';
import { createIssuer } from './issuers/create.route.ts';
import { createSandboxIssuer } from './issuers/create-sandbox.route.ts';
import { deleteIssuer } from './issuers/delete.route.ts';
import { getIssuer } from './issuers/get.route.ts';
import { listIssuersRoute } from './issuers/list.route.ts';
import { activateIssuer, suspendIssuer } from './issuers/set-status.route.ts';
import { updateIssuer } from './issuers/update.route.ts';
import { getKeyProfile } from './key-profiles/get.route.ts';
import { putKeyProfile } from './key-profiles/put.route.ts';
import { leakReportContract } from './leaks/report-leak.ts';
import { loginContracts } from './login/login-contracts.ts';
import { getLoginSettings } from './login-settings/get.route.ts';
import { updateLoginSettings } from './login-settings/update.route.ts';
import { devMailboxContracts } from './mail/dev-mailbox.routes.ts';
import { listSandboxMails } from './mail/sandbox-mailbox.route.ts';
import { createMember } from './members/create.route.ts';
import { deleteMember } from './members/delete.route.ts';
import { explainScopeRoute } from './members/explain.route.ts';
import { getMember } from './members/get.route.ts';
import { listMembersOfGroup, listMembersRoute } from './members/list.route.ts';
import { listUserOrganizations } from './members/list-of-user.route.ts';
import { updateMember } from './members/update.route.ts';
import { oidcContracts } from './oidc/contracts.ts';
import { getOidcSettings } from './oidc/get-settings.route.ts';
import { updateOidcSettings } from './oidc/update-settings.route.ts';
import { openApiContract } from './openapi/openapi.routes.ts';
import { createOrganization } from './organizations/create.route.ts';
import { deleteOrganization } from './organizations/delete.route.ts';
import { getOrganization } from './organizations/get.route.ts';
import { listOrganizationsRoute } from './organizations/list.route.ts';
import { activateOrganization, suspendOrganization } from './organizations/set-status.route.ts';
import { updateOrganization } from './organizations/update.route.ts';
import { otpContracts } from './otp/otp-contracts.ts';
import { createPlan } from './plans/create.route.ts';
import { deletePlan } from './plans/delete.route.ts';
import { getPlan } from './plans/get.route.ts';
import { listPlansRoute } from './plans/list.route.ts';
import { updatePlan } from './plans/update.route.ts';
import { authContracts } from './sessions/auth-contracts.ts';
import { getSession } from './sessions/get.route.ts';
import { listSessionsRoute, listUserSessions } from './sessions/list.route.ts';
import { revokeSession, revokeUserSessions } from './sessions/revoke.route.ts';
import { getSigningKey } from './signing-keys/get.route.ts';
import { jwksContract } from './signing-keys/jwks.ts';
import { listSigningKeysRoute } from './signing-keys/list.route.ts';
import { rotateSigningKeyRoute } from './signing-keys/rotate.route.ts';
import { createSupportGrant } from './support-grants/create.route.ts';
import { getSupportGrant } from './support-grants/get.route.ts';
import { listSupportGrantsRoute } from './support-grants/list.route.ts';
import { revokeSupportGrant } from './support-grants/revoke.route.ts';
import { exportUsage } from './usage/export.route.ts';
import { keyUsageRoutes } from './usage/key-usage.route.ts';
import { listUsageRoute } from './usage/list.route.ts';
import { reportOutcomes } from './usage/report-outcomes.route.ts';
import { getStatement } from './usage/statement.route.ts';
import { createUser } from './users/create.route.ts';
import { deleteUser } from './users/delete.route.ts';
import { getUser } from './users/get.route.ts';
import { listUsersRoute } from './users/list.route.ts';
import { activateUser, suspendUser } from './users/set-status.route.ts';
import { updateUser } from './users/update.route.ts';
import { verificationContracts } from './verification/contracts.ts';

/** Every route of the server, once. OpenAPI, the tenancy matrix and the fuzz suite are made from this list. */
export const routes: readonly Route[] = [
  ...verificationContracts,
  ...otpContracts,
  ...authContracts,
  leakReportContract,
  getOwnAccount,
  updateOwnAccount,
  createSupportGrant,
  listSupportGrantsRoute,
  getSupportGrant,
  revokeSupportGrant,
  createAccount,
  listAccountsRoute,
  getAccount,
  updateAccount,
  suspendAccount,
  activateAccount,
  deleteAccount,
  createPlan,
  listPlansRoute,
  getPlan,
  updatePlan,
  deletePlan,
  createIssuer,
  listIssuersRoute,
  getIssuer,
  updateIssuer,
  suspendIssuer,
  activateIssuer,
  deleteIssuer,
  createSandboxIssuer,
  listSandboxMails,
  getKeyProfile,
  putKeyProfile,
  getLoginSettings,
  updateLoginSettings,
  getOidcSettings,
  updateOidcSettings,
  createUser,
  listUsersRoute,
  getUser,
  updateUser,
  suspendUser,
  activateUser,
  deleteUser,
  listUserOrganizations,
  listSigningKeysRoute,
  getSigningKey,
  rotateSigningKeyRoute,
  listUserSessions,
  revokeUserSessions,
  listSessionsRoute,
  getSession,
  revokeSession,
  createClient,
  listClientsRoute,
  getClient,
  updateClient,
  rotateClientSecret,
  suspendClient,
  activateClient,
  deleteClient,
  createOrganization,
  listOrganizationsRoute,
  getOrganization,
  updateOrganization,
  suspendOrganization,
  activateOrganization,
  deleteOrganization,
  createMember,
  listMembersRoute,
  getMember,
  updateMember,
  deleteMember,
  createGroup,
  listGroupsRoute,
  getGroup,
  updateGroup,
  deleteGroup,
  listMembersOfGroup,
  explainScopeRoute,
  ...createApiKeyRoutes,
  ...importApiKeyRoutes,
  ...listApiKeyRoutes,
  ...getApiKeyRoutes,
  ...updateApiKeyRoutes,
  ...disableApiKeyRoutes,
  ...enableApiKeyRoutes,
  ...revokeApiKeyRoutes,
  ...rotateApiKeyRoutes,
  ...deleteApiKeyRoutes,
  ...keyUsageRoutes,
  listUsageRoute,
  exportUsage,
  reportOutcomes,
  getStatement,
  listEventsRoute,
  jwksContract,
  ...discoveryContracts,
  ...oidcContracts,
  ...loginContracts,
  ...devMailboxContracts,
  homeContract,
  errorPageContract,
  ...healthContracts,
  openApiContract,
];
