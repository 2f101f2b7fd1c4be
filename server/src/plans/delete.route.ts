import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { usualPlans } from './plan.ts';
import { planParams } from './plan-schema.ts';
import { countUsers, lockPlan, type PlanUse } from './plan-store.ts';

export const deletePlan = defineRoute({
  method: 'DELETE',
  path: '/v1/plans/{plan_name}',
  operationId: 'plans.delete',
  summary: 'Delete a plan that nothing is on',
  description:
    'Refused while an issuer, an organization or, of the operator’s plans, an account is on it. The operator’s plans `default` and `unlimited` can be changed, and are never deleted.',
  permission: 'gatelodge.plans:write',
  params: planParams,
  responses: { 204: { description: 'Deleted; there is no way back.' } },
  errors: ['plan_in_use', 'conflict', 'wrong_environment'],
  async handler({ services, tx, principal, params, ifMatch, record, afterCommit }) {
    const { name } = await lockPlan(tx, principal, params.plan_name, ifMatch, 'delete');
    const { accountId, isOperator } = principal;
    if (isOperator && usualPlans.has(name)) {
      throw new AppError('conflict', {
        detail: 'New accounts and the operator’s own need this plan; change its limits instead.',
      });
    }
    refuseWhileInUse(await countUsers(tx, principal, name));
    await tx.deleteFrom('plans').where('account_id', '=', accountId).where('name', '=', name).execute();
    await record({ type: 'plan.deleted', subject: { type: 'plan', id: name }, environment: 'live' });
    afterCommit(() =>
      services.cache.forget({ kind: 'plan', account_id: accountId, name, is_operator: isOperator }),
    );
    return { status: 204 };
  },
});

/** @throws plan_in_use (409) that says what is on it */
function refuseWhileInUse(use: PlanUse): void {
  const told = Object.entries(use)
    .filter(([, count]) => count > 0)
    .map(([noun, count]) => `${count} ${count === 1 ? noun.slice(0, -1) : noun}`);
  if (told.length === 0) return;
  throw new AppError('plan_in_use', {
    detail: `The plan is in use by ${told.join(', ')}; put them on another plan, or on null, first.`,
  });
}
