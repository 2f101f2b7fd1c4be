import type { Selectable } from 'kysely';
import type { PlansTable } from '../postgres/schema.ts';

export type PlanRow = Selectable<PlansTable>;

/** What a plan may be called: it stands in paths. */
export const planNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Of the operator's plans those that accounts are put on without anybody choosing: they are always there. */
export const usualPlans: ReadonlySet<string> = new Set(['default', 'unlimited']);

/** A plan as it is answered. */
export function toPlanResource(row: PlanRow) {
  return {
    name: row.name,
    description: row.description,
    limits: row.limits,
    included: row.included,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
