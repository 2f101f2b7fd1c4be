import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toPlanResource } from './plan.ts';
import { planParams, planResource } from './plan-schema.ts';
import { requirePlan } from './plan-store.ts';

export const getPlan = defineRoute({
  method: 'GET',
  path: '/v1/plans/{plan_name}',
  operationId: 'plans.get',
  summary: 'Read a plan',
  permission: 'gatelodge.plans:read',
  params: planParams,
  responses: { 200: { description: 'The plan.', schema: z.object({ data: planResource }) } },
  errors: ['wrong_environment'],
  async handler({ tx, principal, params }) {
    const row = await requirePlan(tx, principal, params.plan_name);
    return { body: { data: toPlanResource(row) }, version: row.version };
  },
});
