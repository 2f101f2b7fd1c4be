import { z } from 'zod';
import { metadataField, metadataPatchField, timestampField } from '../http/fields.ts';
import {
  clientNameField,
  openidMembers,
  settingsField,
  settingsMembers,
  typeField,
} from './client-fields.ts';
import { authMethods, grantTypes } from './client-settings.ts';

/** Body of `POST …/clients`. */
export const createClientBody = z
  .strictObject({
    name: clientNameField,
    type: typeField.default('external'),
    confidential: z
      .boolean()
      .optional()
      .describe('Whether it can keep a secret: true unless given for web and m2m, false for native and spa.'),
    settings: settingsField.optional(),
    metadata: metadataField.optional(),
  })
  .meta({
    id: 'CreateClientRequest',
    examples: [
      {
        name: 'Acme Web',
        type: 'first_party',
        confidential: true,
        settings: {
          protocol: 'oidc',
          scopes: ['openid', 'profile', 'email'],
          openid: {
            application_type: 'web',
            grant_types: ['authorization_code', 'refresh_token'],
            redirect_uris: ['https://app.example.com/callback'],
          },
        },
      },
    ],
  });

/** What `PATCH` may change, whole: a merge patch is applied to the row and then checked by this. */
export const clientMembers = z.strictObject({
  name: clientNameField,
  type: typeField.default('external'),
  settings: settingsField.optional(),
  metadata: metadataField.default({}),
});

/** Every member of a schema's shape, absent or null. */
function patched<Shape extends z.ZodRawShape>(shape: Shape) {
  const members = Object.entries(shape).map(([name, member]) => [name, (member as z.ZodType).nullish()]);
  return z.strictObject(Object.fromEntries(members) as { [Name in keyof Shape]: z.ZodType });
}

/** Body of `PATCH …/clients/{client_id}`; objects merge, lists are replaced, null sets back to the default. */
export const patchClientBody = z
  .strictObject({
    name: clientNameField.optional(),
    type: typeField.nullish(),
    confidential: z.boolean().optional().describe('Can’t change: what it is now, or nothing.'),
    settings: patched({ ...settingsMembers, openid: patched(openidMembers) }).nullish(),
    metadata: metadataPatchField.nullish(),
  })
  .meta({
    id: 'PatchClientRequest',
    examples: [{ settings: { openid: { redirect_uris: ['https://app.example.com/callback'] } } }],
  });

/** Body of `POST …/clients/{client_id}/rotate-secret`. */
export const rotateClientSecretBody = z
  .strictObject({
    grace_seconds: z
      .int()
      .min(0)
      .max(2_592_000)
      .default(86_400)
      .describe(
        'How long the secret that was the newest still works; 0 ends it at once. A day unless given.',
      ),
  })
  .meta({ id: 'RotateClientSecretRequest', examples: [{ grace_seconds: 604_800 }] });

/** The rules are for who sets things: an answer tells what is stored, whatever build has stored it. */
const texts = z.array(z.string());

const openidResource = z.object({
  ...openidMembers,
  grant_types: z.array(z.enum(grantTypes)),
  redirect_uris: texts,
  post_logout_redirect_uris: texts,
  token_endpoint_auth_method: z.enum(authMethods),
  resource_indicators: texts,
  backchannel_logout_uri: z.string().nullable(),
  access_token_seconds: z.int().nullable(),
  refresh_token_seconds: z.int().nullable(),
});

const settingsResource = z.object({
  protocol: z.literal('oidc'),
  scopes: texts,
  organization_scopes: texts.nullable(),
  openid: openidResource,
});

const clientShape = {
  id: z.string().describe('The `client_id`.'),
  issuer_id: z.string(),
  name: z.string(),
  type: typeField,
  confidential: z.boolean(),
  settings: settingsResource.describe('Whole, every default spelled out.'),
  metadata: z.record(z.string(), z.json()),
  status: z.enum(['active', 'suspended']),
  secrets: z
    .array(
      z.object({
        id: z.string(),
        hint: z.string().describe('How it begins, and its last four characters.'),
        created_at: timestampField,
        expires_at: timestampField.nullable().describe('The end of its grace; null for the newest.'),
      }),
    )
    .describe('Those that work, newest first: two at the most. None for a public client.'),
  created_at: timestampField,
  updated_at: timestampField,
};

export const clientResource = z.object(clientShape).meta({ id: 'Client' });

const secretField = z.string().describe('The secret. It is shown this once.');

export const createdClientResource = z
  .object({ ...clientShape, secret: secretField.nullable().describe('null for a public client.') })
  .meta({ id: 'CreatedClient' });

export const rotatedClientResource = z
  .object({ ...clientShape, secret: secretField })
  .meta({ id: 'RotatedClient' });

export const clientsParams = z.object({ issuer_id: z.string() });
export const clientParams = z.object({ issuer_id: z.string(), client_id: z.string() });
