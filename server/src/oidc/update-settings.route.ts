import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { changeSettings } from '../issuers/settings-document.ts';
import { findOidcSettingsRow } from './oidc-settings.ts';
import { oidcSettingsMembers, oidcSettingsResource, patchOidcSettingsBody } from './oidc-settings-schema.ts';

export const updateOidcSettings = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}/oidc-settings',
  operationId: 'oidcSettings.update',
  summary: 'Change what the OIDC runtime of an issuer does',
  description:
    'Holds within a second on every node. What is turned off is refused from then on; clients and tokens that there are stay. null sets a member back to its default.',
  permission: 'gatelodge.login-settings:write',
  params: issuerParams,
  body: patchOidcSettingsBody,
  isMergePatch: true,
  responses: {
    200: {
      description: 'The settings, every member resolved.',
      schema: z.object({ data: oidcSettingsResource }),
    },
  },
  handler: (context) =>
    changeSettings(
      {
        table: 'oidc_settings',
        event: 'oidc-settings.updated',
        members: oidcSettingsMembers,
        find: findOidcSettingsRow,
      },
      context,
    ),
});
