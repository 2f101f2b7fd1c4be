import { z } from 'zod';
import { statusOf } from '../api-keys/api-key.ts';
import { findApiKey } from '../api-keys/api-key-store.ts';
import { mayDo, type Principal } from '../authentication/principal.ts';
import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { type IssuerRow, requireIssuer } from '../issuers/issuer-store.ts';
import { type OrganizationRow, requireOrganization } from '../organizations/organization-store.ts';
import type { Transaction } from '../postgres/database.ts';
import type { ManagementPermission } from '../scopes/scope.ts';
import { requireActingClient } from './acting-client.ts';
import { explainScopeBody, scopeExplanation } from './explain-schema.ts';
import { explainScope, type ScopeQuestion } from './explain-scope.ts';
import { membersParams } from './member-schema.ts';
import { findMember } from './member-store.ts';

export const explainScopeRoute = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/explain',
  operationId: 'organizations.explain',
  summary: 'Explain why a member or a key has a scope or not',
  description:
    'Asking about a key takes `gatelodge.api-keys:read` as well, naming a client `gatelodge.clients:read` and a key of the account or the issuer. Nothing is changed or counted.',
  permission: 'gatelodge.members:read',
  params: membersParams,
  body: explainScopeBody,
  responses: {
    200: {
      description: 'What grants or denies it.',
      schema: z.object({ data: scopeExplanation }),
      isReport: true,
    },
  },
  async handler({ tx, principal, params, body, now }) {
    const organization = await requireOrganization(tx, principal, params);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const who =
      body.key_id === undefined
        ? await memberOf(tx, principal, organization, body)
        : await keyOf(tx, principal, { issuer, organization }, body.key_id, now);
    const explanation = explainScope({
      scope: body.scope,
      issuerStatus: issuer.status,
      organizationStatus: organization.status,
      who,
    });
    return { body: { data: { scope: body.scope, ...explanation } } };
  },
});

/** @throws permission_denied: what clients hold their users to is for those who may read clients */
async function memberOf(
  tx: Transaction,
  principal: Principal,
  organization: OrganizationRow,
  body: z.output<typeof explainScopeBody>,
): Promise<ScopeQuestion['who']> {
  if (body.client_id !== undefined) {
    requirePermission(principal, 'gatelodge.clients:read', 'naming a client');
    if (principal.organizationId !== null) {
      throw new AppError('permission_denied', {
        detail: 'Clients belong to the issuer; naming one takes an API key of the issuer or the account.',
      });
    }
  }
  const client =
    body.client_id === undefined
      ? null
      : await requireActingClient(tx, organization, {
          clientId: body.client_id,
          userId: body.member_id ?? '',
          organizationId: organization.id,
        });
  const member = await findMember(tx, organization, body.member_id ?? '');
  return { kind: 'member', member, client };
}

/** @throws permission_denied: what a key holds is for those who may read keys */
async function keyOf(
  tx: Transaction,
  principal: Principal,
  { issuer, organization }: { issuer: IssuerRow; organization: OrganizationRow },
  keyId: string,
  now: Date,
): Promise<ScopeQuestion['who']> {
  requirePermission(principal, 'gatelodge.api-keys:read', 'asking about a key');
  const { id, environment, publishable_scopes: publishableScopes } = issuer;
  const place = {
    accountId: principal.accountId,
    issuer: { id, environment, publishableScopes },
    organizationId: organization.id,
  };
  const row = await findApiKey(tx, principal, place, keyId);
  if (row === null) return { kind: 'key', key: null };
  const scopes = row.scopes ?? [];
  // As a verification has it: of a publishable key those alone that the issuer still marks publishable.
  const inEffect =
    row.kind === 'publishable' ? scopes.filter((each) => publishableScopes.includes(each)) : scopes;
  return { kind: 'key', key: { status: statusOf(row, now), scopes: inEffect } };
}

function requirePermission(principal: Principal, permission: ManagementPermission, what: string): void {
  if (mayDo(principal, permission)) return;
  throw new AppError('permission_denied', {
    detail: `The API key lacks the permission ${permission}, which ${what} takes.`,
  });
}
