import { z } from 'zod';
import { maxAmount } from './limit-schema.ts';

const credits = z.int().min(0).max(maxAmount);
const amount = z.int().min(1).max(maxAmount);
const every = z.enum(['day', 'month']);

/** Credits, as a key is given them. */
export const quotaField = z
  .strictObject({
    credits: credits.describe('How many there are from now on, whatever has been used before.'),
    refill: z
      .strictObject({
        amount: amount.describe('How many there are then; what was left is not added.'),
        every: every.describe('In UTC: at midnight, or on the first day of the month.'),
      })
      .nullable()
      .default(null)
      .describe('null for credits that are used up once.'),
  })
  .meta({ id: 'QuotaRequest' });

/** Credits, as they were given. What is left of them stands in the answers of decisions. */
export const quotaResource = z
  .object({ credits, refill: z.object({ amount, every }).nullable() })
  .meta({ id: 'Quota' });

/** A merge patch of it. The whole that it makes is checked by `quotaField`. */
export const quotaPatchField = z
  .strictObject({
    credits: credits.optional().describe('Sets them anew, also to as many as before: a top-up.'),
    refill: z.strictObject({ amount: amount.optional(), every: every.optional() }).nullish(),
  })
  .meta({ id: 'QuotaPatch' });
