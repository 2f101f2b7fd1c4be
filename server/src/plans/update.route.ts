import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { z } from 'zod';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import type { Json } from '../postgres/schema.ts';
import { toPlanResource } from './plan.ts';
import { patchPlanBody, planMembers, planParams, planResource } from './plan-schema.ts';
import { lockPlan } from './plan-store.ts';

export const updatePlan = defineRoute({
  method: 'PATCH',
  path: '/v1/plans/{plan_name}',
  operationId: 'plans.update',
  summary: 'Change a plan, for everything that is on it',
  description:
    'Holds from the next request on. What has been used in the present windows stays used: counters go by the name and the window of a limit.',
  permission: 'gatelodge.plans:write',
  params: planParams,
  body: patchPlanBody,
  isMergePatch: true,
  responses: { 200: { description: 'The plan.', schema: z.object({ data: planResource }) } },
  errors: ['wrong_environment'],
  async handler({ services, tx, principal, params, body, ifMatch, record, afterCommit }) {
    const current = await lockPlan(tx, principal, params.plan_name, ifMatch, 'change');
    const { description, limits, included } = current;
    const before = planMembers.parse({ description, limits, included });
    const after = parseInput(planMembers, mergePatch(before, body as Json));
    const changed = (['description', 'limits', 'included'] as const).filter(
      (member) => !isDeepStrictEqual(after[member], before[member]),
    );
    if (changed.length === 0) return { body: { data: toPlanResource(current) }, version: current.version };
    const row = await tx
      .updateTable('plans')
      .set({
        description: after.description,
        limits: JSON.stringify(after.limits),
        included: JSON.stringify(after.included),
        version: sql`version + 1`,
        updated_at: sql`now()`,
      })
      .where('account_id', '=', principal.accountId)
      .where('name', '=', current.name)
      .returningAll()
      .executeTakeFirstOrThrow();
    await record({
      type: 'plan.updated',
      subject: { type: 'plan', id: row.name },
      environment: 'live',
      data: { changed },
    });
    const { accountId, isOperator } = principal;
    afterCommit(() =>
      services.cache.forget({ kind: 'plan', account_id: accountId, name: row.name, is_operator: isOperator }),
    );
    return { body: { data: toPlanResource(row) }, version: row.version };
  },
});
