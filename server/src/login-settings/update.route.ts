import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { changeSettings } from '../issuers/settings-document.ts';
import { findLoginSettingsRow } from './login-settings.ts';
import {
  loginSettingsMembers,
  loginSettingsResource,
  patchLoginSettingsBody,
} from './login-settings-schema.ts';

export const updateLoginSettings = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}/login-settings',
  operationId: 'loginSettings.update',
  summary: 'Change how the users of an issuer sign in',
  description:
    'Holds for what begins from now on: codes that are out and tokens that live keep what they were made with. Only where `audience` changes, we no longer take the access tokens that live; a refresh answers one that we take. null sets a member back to its default.',
  permission: 'gatelodge.login-settings:write',
  params: issuerParams,
  body: patchLoginSettingsBody,
  isMergePatch: true,
  responses: {
    200: {
      description: 'The settings, every member resolved.',
      schema: z.object({ data: loginSettingsResource }),
    },
  },
  handler: (context) =>
    changeSettings(
      {
        table: 'login_settings',
        event: 'login-settings.updated',
        members: loginSettingsMembers,
        find: findLoginSettingsRow,
      },
      context,
    ),
});
