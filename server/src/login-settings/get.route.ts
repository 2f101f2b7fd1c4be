import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { findLoginSettingsRow } from './login-settings.ts';
import { loginSettingsResource } from './login-settings-schema.ts';

export const getLoginSettings = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/login-settings',
  operationId: 'loginSettings.get',
  summary: 'Read how the users of an issuer sign in',
  permission: 'gatelodge.login-settings:read',
  params: issuerParams,
  responses: {
    200: {
      description: 'The settings, every member resolved.',
      schema: z.object({ data: loginSettingsResource }),
    },
  },
  async handler({ tx, principal, params }) {
    const { id } = await requireIssuer(tx, principal, params.issuer_id);
    const row = await findLoginSettingsRow(tx, { id, account: { id: principal.accountId } });
    return { body: { data: row.settings }, version: row.version };
  },
});
