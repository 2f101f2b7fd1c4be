import { z } from 'zod';
import { limitNamePattern, quotaName } from './limits.ts';
import { windows } from './window.ts';

/** How many limits a key has at the most, or a plan in each environment: a decision looks at every one of them. */
export const maxLimits = 10;

/** The most that a limit counts to, and the most credits there are. */
export const maxAmount = 1_000_000_000_000;

const windowLimit = z
  .strictObject({
    name: z
      .string()
      .regex(limitNamePattern, 'must be 1 to 64 letters, digits or _ . : -, such as "hour"')
      .refine((name) => name !== quotaName, `"${quotaName}" is the name of quotas; choose another name`)
      .describe('What headers, answers and requests with costs of their own call it.'),
    limit: z.int().min(0).max(maxAmount).describe('How much each window admits; 0 refuses all that costs.'),
    window: z.enum(windows).describe('Aligned in UTC: an hour begins on the hour, a month on its first day.'),
  })
  .meta({ id: 'WindowLimit' });

/** A list of limits, as keys and plans have it. */
export const limitsField = z
  .array(windowLimit)
  .max(maxLimits)
  .superRefine((limits, context) => {
    limits.forEach(({ name, window }, index) => {
      const first = limits.findIndex((other) => other.name === name && other.window === window);
      if (first === index) return;
      context.addIssue({
        code: 'custom',
        path: [index],
        message: `has the name and the window of the entry ${first}; remove one of them, or rename it`,
        params: { code: 'duplicate' },
      });
    });
  })
  .describe(
    `Up to ${maxLimits}, no two with the same name and window. A request passes if all of them have room.`,
  );
