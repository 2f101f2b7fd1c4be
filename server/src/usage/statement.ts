import { z } from 'zod';
import { environmentField } from '../http/fields.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { IncludedUsage } from '../postgres/schema.ts';
import { endOfBucket, startOf } from './usage-range.ts';

/** A month as a path names it. */
export const monthPattern = /^(?:19[7-9]\d|2\d{3})-(?:0[1-9]|1[0-2])$/;

/** The first moment of a month and the first after it, in UTC. */
export interface Month {
  readonly start: Date;
  readonly end: Date;
}

/** @param text as `monthPattern` has it */
export function monthOf(text: string): Month {
  const start = new Date(`${text}-01T00:00:00.000Z`);
  return { start, end: endOfBucket('month', start) };
}

/** The month in which a moment lies. */
export function monthAt(moment: Date): Month {
  const start = startOf('month', moment);
  return { start, end: endOfBucket('month', start) };
}

/** Somebody whose usage is billed, and what of it there was in a month. */
export interface BilledCustomer {
  readonly type: 'account' | 'organization';
  readonly id: string;
  /** null for one that was deleted since. */
  readonly name: string | null;
  readonly plan: string | null;
  /** null where it has no plan, or one that nobody has made. */
  readonly included: IncludedUsage | null;
  readonly used: Readonly<Record<Environment, number>>;
}

export const statementLineResource = z
  .object({
    customer: z.object({
      type: z.enum(['account', 'organization']),
      id: z.string(),
      name: z.string().nullable().describe('null for one that was deleted since.'),
    }),
    plan: z.string().nullable().describe('The plan that it is on now.'),
    environment: environmentField,
    included: z.int().nullable().describe('What the plan includes in a month; null for all there is.'),
    used: z.int().min(0).describe('The cost of the valid decisions of the month.'),
    overage: z.int().min(0).describe('What of `used` is beyond `included`.'),
    complete: z
      .boolean()
      .describe('Whether the month is over; until then `used` is what there has been so far.'),
  })
  .meta({ id: 'StatementLine' });

/** What a customer owes in one environment. */
export function toStatementLine(
  { type, id, name, plan, ...customer }: BilledCustomer,
  environment: Environment,
  isComplete: boolean,
): z.input<typeof statementLineResource> {
  const included = customer.included?.[environment] ?? null;
  const used = customer.used[environment];
  return {
    customer: { type, id, name },
    plan,
    environment,
    included,
    used,
    overage: included === null ? 0 : Math.max(0, used - included),
    complete: isComplete,
  };
}
