import { z } from 'zod';
import { timestampField } from '../http/fields.ts';
import { pageQuery } from '../http/pagination.ts';

export const sessionResource = z
  .object({
    id: z.string().describe('The `sid` of its tokens.'),
    issuer_id: z.string(),
    user_id: z.string(),
    client_id: z
      .string()
      .describe('The client that it signs in to; `otp` where the user signed in by a mailed code.'),
    amr: z.array(z.string()).describe('How the user has shown who it is (RFC 8176).'),
    status: z.enum(['active', 'ended', 'expired']),
    end_reason: z
      .enum([
        'logout',
        'revoked',
        'refresh_reuse',
        'code_reuse',
        'token_revoked',
        'user_suspended',
        'client_deleted',
      ])
      .nullable()
      .describe(
        'Of a session that has ended. `refresh_reuse`, `code_reuse`: a refresh token or an authorization code was shown twice, so two held it. `token_revoked`: its client has given it back.',
      ),
    ip: z.string().nullable().describe('Of the request that began it, like `user_agent`.'),
    user_agent: z.string().nullable(),
    created_at: timestampField,
    last_used_at: timestampField.describe('When it was last refreshed. The ETag does not tell of it.'),
    expires_at: timestampField.describe('When it is over unless it is refreshed. Nor does it of this.'),
    ended_at: timestampField.nullable(),
  })
  .meta({ id: 'Session' });

export const sessionsQuery = {
  ...pageQuery,
  status: z.enum(['active', 'ended']).optional().describe('`ended` lists those that have expired as well.'),
};

export const sessionsParams = z.object({ issuer_id: z.string() });
export const sessionParams = z.object({ issuer_id: z.string(), session_id: z.string() });
export const userSessionsParams = z.object({ issuer_id: z.string(), user_id: z.string() });
