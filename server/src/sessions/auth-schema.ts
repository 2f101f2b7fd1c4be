import { z } from 'zod';
import { text, timestampField } from '../http/fields.ts';
import { organizationClaims } from '../members/member-schema.ts';
import { usernameTypeField } from '../users/user-schema.ts';

const refreshToken = text(1, 8_192);

/** Body of `POST /auth/refresh`. */
export const refreshBody = z
  .strictObject({ refresh_token: refreshToken })
  .meta({ id: 'RefreshRequest', examples: [{ refresh_token: 'gl_rt_1_EXAMPLE' }] });

/** Body of `POST /auth/logout`. */
export const logoutBody = z
  .strictObject({
    refresh_token: refreshToken.optional().describe('In place of the access token.'),
  })
  .meta({ id: 'LogoutRequest', examples: [{ refresh_token: 'gl_rt_1_EXAMPLE' }] });

export const signedInAnswer = z
  .object({
    success: z.literal(true),
    token: z.string().describe('The access token, a JWT (RFC 9068).'),
    token_type: z.literal('Bearer'),
    expires_in: z.int().describe('Seconds for which the access token is good.'),
    refresh_token: z.string().describe('The next one; that which was sent is used up.'),
    user: z.object({ id: z.string(), email: z.string().nullable() }),
  })
  .meta({ id: 'TokenRefreshed' });

export const signedOutAnswer = z.object({ success: z.literal(true) }).meta({ id: 'SignedOut' });

export const authMeAnswer = z
  .object({
    success: z.literal(true),
    user: z.object({
      id: z.string(),
      email: z.string().nullable(),
      username_type: usernameTypeField,
      username: z.string(),
      profile: z.record(z.string(), z.json()),
      issuer_id: z.string(),
      environment: z.enum(['live', 'sandbox']),
      session_id: z.string(),
      organizations: organizationClaims,
      created_at: timestampField,
    }),
  })
  .meta({ id: 'AuthMe' });
