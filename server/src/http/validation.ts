import type { z } from 'zod';
import { type FieldError, invalidFields } from '../errors.ts';

/**
 * Parses input by its schema.
 *
 * @param root what the path of an error starts with: `''` for a body, `query` for a query.
 * @throws invalid_request (422) with one entry for each thing that is wrong.
 */
export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  root = '',
): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw invalidFields(result.error.issues.flatMap((issue) => toFieldErrors(issue, root)));
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
  return [
    { path, message: isMissing ? 'is required' : issue.message, code: isMissing ? 'required' : issue.code },
  ];
}

/** `restrictions.origins[0]`: the way a JavaScript or Python programmer would write it. */
function renderPath(path: readonly PropertyKey[], root: string): string {
  return path.reduce<string>((rendered, part) => {
    if (typeof part === 'number') return `${rendered}[${part}]`;
    return rendered === '' ? String(part) : `${rendered}.${String(part)}`;
  }, root);
}
