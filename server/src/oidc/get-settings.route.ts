import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { findOidcSettingsRow } from './oidc-settings.ts';
import { oidcSettingsResource } from './oidc-settings-schema.ts';

export const getOidcSettings = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/oidc-settings',
  operationId: 'oidcSettings.get',
  summary: 'Read what the OIDC runtime of an issuer does',
  permission: 'gatelodge.login-settings:read',
  params: issuerParams,
  responses: {
    200: {
      description: 'The settings, every member resolved.',
      schema: z.object({ data: oidcSettingsResource }),
    },
  },
  async handler({ tx, principal, params }) {
    const { id } = await requireIssuer(tx, principal, params.issuer_id);
    const row = await findOidcSettingsRow(tx, { id, account: { id: principal.accountId } });
    return { body: { data: row.settings }, version: row.version };
  },
});
