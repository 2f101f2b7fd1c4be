import { z } from 'zod';
import { idField, text } from '../http/fields.ts';
import { idPrefixes } from '../ids/ids.ts';
import { parseScope } from '../scopes/scope.ts';
import { scopeChecks, scopeOutcomes } from './explain-scope.ts';

const scope = z.string().superRefine((value, context) => {
  const parsed = parseScope(value);
  if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.message });
});

/** Body of `POST …/explain`. */
export const explainScopeBody = z
  .strictObject({
    member_id: idField(idPrefixes.user, 'a user').optional(),
    key_id: idField(idPrefixes.apiKey, 'an API key').optional().describe('A key of the organization.'),
    scope,
    client_id: text(1, 100)
      .optional()
      .describe('The client that acts for the member; `otp` where it signs in by a mailed code.'),
  })
  .refine((body) => (body.member_id === undefined) !== (body.key_id === undefined), {
    path: ['member_id'],
    message: 'give either member_id or key_id',
  })
  .refine((body) => body.key_id === undefined || body.client_id === undefined, {
    path: ['client_id'],
    message: 'goes with member_id only; a key acts for itself',
  })
  .meta({
    id: 'ExplainScopeRequest',
    examples: [{ member_id: 'usr_0000000000000000000000000', scope: 'invoices:read' }],
  });

const groups = z.array(z.object({ id: z.string(), name: z.string() }));

export const scopeExplanation = z
  .object({
    scope: z.string(),
    allowed: z.boolean(),
    denied_by: z.enum(scopeChecks).nullable().describe('The first check that failed.'),
    checks: z
      .array(z.object({ check: z.enum(scopeChecks), outcome: z.enum(scopeOutcomes), message: z.string() }))
      .describe('Every check in its order, each on its own.'),
    granted_by: z
      .object({ member: z.boolean(), groups, key: z.boolean() })
      .describe('What names the scope, whether or not something else stands against it.'),
    effective_scopes: z
      .array(z.string())
      .describe('What a token that is made now holds for the organization, or what the key may do there.'),
  })
  .meta({ id: 'ScopeExplanation' });
