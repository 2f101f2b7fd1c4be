import { z } from 'zod';
import { text, timestampField } from '../http/fields.ts';
import { pageQuery } from '../http/pagination.ts';
import { supportGrantStatuses } from './support-grant.ts';

const minSeconds = 300;
const maxSeconds = 604_800;
const defaultSeconds = 86_400;

/** Body of `POST /v1/account/support-grants`. */
export const createSupportGrantBody = z
  .strictObject({
    reason: text(1, 500)
      .refine((value) => value.trim() !== '', 'must not be only white space')
      .describe('Why support may look, for whoever reads the trail later.'),
    expires_in_seconds: z
      .number()
      .int()
      .min(minSeconds)
      .max(maxSeconds)
      .default(defaultSeconds)
      .describe('How long the grant holds: five minutes to seven days.'),
  })
  .meta({
    id: 'CreateSupportGrantRequest',
    examples: [{ reason: 'Ticket 4711: keys of the issuer shop are refused', expires_in_seconds: 3600 }],
  });

const status = z.enum(supportGrantStatuses);

export const listSupportGrantsQuery = z.strictObject({ ...pageQuery, status: status.optional() });

export const supportGrantParams = z.object({ grant_id: z.string() });

export const supportGrantResource = z
  .object({
    id: z.string(),
    account_id: z.string().describe('What support sends as X-Gatelodge-Account.'),
    reason: z.string(),
    status,
    created_by: z.object({ type: z.enum(['api_key', 'system']), id: z.string() }),
    created_at: timestampField,
    expires_at: timestampField,
    revoked_at: timestampField.nullable(),
    last_used_hour: timestampField.nullable().describe('Beginning of the hour in which it was last used.'),
  })
  .meta({ id: 'SupportGrant' });
