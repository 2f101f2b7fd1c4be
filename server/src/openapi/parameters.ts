import type { z } from 'zod';
import { idPrefixes } from '../ids/ids.ts';
import { planNamePattern } from '../plans/plan.ts';
import { monthPattern } from '../usage/statement.ts';
import type { Components, JsonSchema } from './components.ts';

/** What the parameters of our paths are: ids, each with the prefix of its noun. */
const idParameters: Record<string, { noun: string; prefix: string }> = {
  account_id: { noun: 'account', prefix: idPrefixes.account },
  issuer_id: { noun: 'issuer', prefix: idPrefixes.issuer },
  org_id: { noun: 'organization', prefix: idPrefixes.organization },
  client_id: { noun: 'client', prefix: idPrefixes.client },
  user_id: { noun: 'user', prefix: idPrefixes.user },
  member_id: { noun: 'user', prefix: idPrefixes.user },
  group_id: { noun: 'group', prefix: idPrefixes.group },
  session_id: { noun: 'session', prefix: idPrefixes.session },
  key_id: { noun: 'API key', prefix: idPrefixes.apiKey },
  mail_id: { noun: 'mail', prefix: idPrefixes.mail },
  event_id: { noun: 'event', prefix: idPrefixes.event },
  grant_id: { noun: 'support grant', prefix: idPrefixes.supportGrant },
  signing_key_id: { noun: 'signing key', prefix: idPrefixes.signingKey },
};

/** The parameters of a path or a query, from the schema of all of them. */
export function parametersIn(
  place: 'path' | 'query',
  schema: z.ZodType | undefined,
  components: Components,
): JsonSchema[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = components.inline(schema, 'input') as {
    properties?: Record<string, JsonSchema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, examples, ...property }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description !== undefined && { description }),
    ...(examples !== undefined && { example: (examples as unknown[])[0] }),
    schema: property,
    ...(place === 'path' && idParameter(name)),
  }));
}

/** A malformed id is answered as one that does not exist, so the pattern is a help and no rule. */
function idParameter(name: string): JsonSchema | undefined {
  if (name === 'plan_name') {
    return { description: 'Name of the plan.', schema: { type: 'string', pattern: planNamePattern.source } };
  }
  if (name === 'month') {
    return {
      description: 'Year and month (UTC), such as 2026-11.',
      schema: { type: 'string', pattern: monthPattern.source },
    };
  }
  const id = idParameters[name];
  return (
    id && {
      description: `Id of the ${id.noun}.`,
      schema: { type: 'string', pattern: `^${id.prefix}[0-9a-z]{25}$` },
    }
  );
}

export function headerParameter(name: string, description: string, schema: JsonSchema): JsonSchema {
  return { name, in: 'header', required: false, description, schema };
}
