import { z } from 'zod';
import { requireLive } from '../authentication/require-live.ts';
import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { brokenConstraint } from '../postgres/constraint.ts';
import { toPlanResource } from './plan.ts';
import { createPlanBody, planMembers, planResource } from './plan-schema.ts';

export const createPlan = defineRoute({
  method: 'POST',
  path: '/v1/plans',
  operationId: 'plans.create',
  summary: 'Create a plan',
  description:
    'A named set of limits and of usage that is paid with it, for your issuers and organizations. The operator’s plans are the ones that accounts are on.',
  permission: 'gatelodge.plans:write',
  creates: true,
  body: createPlanBody,
  responses: { 201: { description: 'The plan.', schema: z.object({ data: planResource }) } },
  errors: ['plan_exists', 'wrong_environment'],
  async handler({ services, tx, principal, body, now, record, afterCommit }) {
    requireLive(principal);
    const { name } = body;
    const { description, limits, included } = planMembers.parse({
      description: body.description,
      limits: body.limits ?? undefined,
      included: body.included ?? undefined,
    });
    const row = await tx
      .insertInto('plans')
      .values({
        account_id: principal.accountId,
        name,
        description,
        limits: JSON.stringify(limits),
        included: JSON.stringify(included),
        created_at: now,
        updated_at: now,
      })
      .returningAll()
      .executeTakeFirstOrThrow()
      .catch(planExists);
    await record({
      type: 'plan.created',
      subject: { type: 'plan', id: name },
      environment: 'live',
      data: { limits, included },
    });
    const { accountId, isOperator } = principal;
    // Somebody may be on a plan of this name already: a node of an older build lets anything be named.
    afterCommit(() =>
      services.cache.forget({ kind: 'plan', account_id: accountId, name, is_operator: isOperator }),
    );
    return {
      status: 201,
      body: { data: toPlanResource(row) },
      version: row.version,
      headers: { Location: `/v1/plans/${name}` },
    };
  },
});

/** For `catch`: the primary key decides, so two at once can't both make a plan of one name. */
function planExists(error: unknown): never {
  if (brokenConstraint(error) === 'plans_pkey') throw new AppError('plan_exists', { cause: error });
  throw error;
}
