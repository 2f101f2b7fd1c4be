import type { z } from 'zod';
import { type FieldError, invalidFields } from '../errors.ts';

/** Enough to mend a request by, and too few for a hostile body to be answered with megabytes. */
const maxErrors = 50;
const maxEchoedName = 100;

/**
 * Parses input by its schema.
 *
 * @param root what the path of an error starts with: `''` for a body, `query` for a query.
 * @throws invalid_request (422) with one entry for each thing that is wrong, at most 50.
 */
export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  root = '',
): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw invalidFields(result.error.issues.flatMap((issue) => toFieldErrors(issue, root)).slice(0, maxErrors));
}

function toFieldErrors(issue: z.core.$ZodIssue, root: string): FieldError[] {
  const path = renderPath(issue.path, root);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: renderPath([...issue.path, key], root),
      message: 'is not a member of this request; remove it',
      code: 'unknown_member',
    }));
  }
  const isMissing =
    issue.code === 'invalid_type' && issue.input === undefined && /received undefined/.test(issue.message);
  if (isMissing) return [{ path, message: 'is required', code: 'required' }];
  // A rule of our own may name its code; what zod calls it says nothing.
  const code = issue.code === 'custom' ? String(issue.params?.code ?? 'invalid') : issue.code;
  return [{ path, message: issue.message, code }];
}

/** `restrictions.origins[0]`: the way a JavaScript or Python programmer would write it. */
function renderPath(path: readonly PropertyKey[], root: string): string {
  return path.reduce<string>((rendered, part) => {
    if (typeof part === 'number') return `${rendered}[${part}]`;
    const name = String(part).slice(0, maxEchoedName).toWellFormed();
    return rendered === '' ? name : `${rendered}.${name}`;
  }, root);
}
