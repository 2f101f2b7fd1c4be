import { z } from 'zod';
import { searchField } from '../http/fields.ts';
import { sortQuery } from '../http/listing.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { toPlanResource } from './plan.ts';
import { planResource } from './plan-schema.ts';
import { listPlans, positionOfPlan } from './plan-store.ts';

export const listPlansRoute = defineRoute({
  method: 'GET',
  path: '/v1/plans',
  operationId: 'plans.list',
  summary: 'List the plans of your account',
  description:
    'Those that you have made. The plan that your account is on is the operator’s: see GET /v1/account.',
  permission: 'gatelodge.plans:read',
  query: z.strictObject({ ...pageQuery, sort: sortQuery, search: searchField.optional() }),
  responses: { 200: { description: 'A page of plans.', schema: pageOf(planResource) } },
  errors: ['wrong_environment'],
  async handler({ tx, principal, query, cursors }) {
    const rows = await listPlans(tx, principal, query, cursors);
    return { body: toPage(rows, query.limit, cursors, positionOfPlan(query.sort), toPlanResource) };
  },
});
