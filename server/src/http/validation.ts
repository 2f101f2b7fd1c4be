import { z } from 'zod';
import { type FieldError, invalidFields } from '../errors.ts';
import { placeOf } from './member-places.ts';
import { likelyName, unknownMemberMessage } from './unknown-member.ts';

/** Enough to mend a request by, and too few for a hostile body to be answered with megabytes. */
export const maxErrors = 50;
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
  const result = schema.safeParse(input, { error: knownNames });
  if (result.success) return result.data;
  const faults = result.error.issues.flatMap((issue) => toFaults(issue, root, schema));
  throw invalidFields(
    causesFirst(faults)
      .slice(0, maxErrors)
      .map(({ error }) => error),
  );
}

/**
 * Has an issue about unknown members tell those that are known in their place. As its message, which is all that zod lets
 * out of the schema that found it; nobody reads it but `namesIn`.
 */
export const knownNames: z.core.$ZodErrorMap = (issue) => {
  if (issue.code !== 'unrecognized_keys') return undefined;
  return issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape).join(' ') : ' ';
};

/** The names that `knownNames` has put there. */
export function namesIn(issue: z.core.$ZodIssueUnrecognizedKeys): string[] {
  return issue.message.split(' ').filter((name) => name !== '');
}

interface Fault {
  readonly error: FieldError;
  /** Path of the member that was likely meant instead. */
  readonly meant?: string | undefined;
}

/** What is missing because it is misspelt comes after its misspelling: the first error is the one that is read. */
function causesFirst(faults: readonly Fault[]): readonly Fault[] {
  const missing = new Set(faults.flatMap(({ error: { code, path } }) => (code === 'required' ? [path] : [])));
  const causes: Fault[] = [];
  const others: Fault[] = [];
  for (const fault of faults) (isAtOrBelow(fault.meant, missing) ? causes : others).push(fault);
  return [...causes, ...others];
}

/** Whether a path is one of these or leads through one. Paths are short, and there may be very many of them. */
function isAtOrBelow(path: string | undefined, places: ReadonlySet<string>): boolean {
  for (let at = path; at !== undefined && at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('.'))))
    if (places.has(at)) return true;
  return false;
}

function toFaults(issue: z.core.$ZodIssue, root: string, schema: z.ZodType): Fault[] {
  if (issue.code !== 'unrecognized_keys') return [{ error: toFieldError(issue, root) }];
  const known = namesIn(issue);
  return issue.keys.slice(0, maxErrors).map((key) => {
    const likely = likelyName(key, known);
    const elsewhere = likely === null ? placeOf(key, schema) : null;
    const isAtTop = elsewhere !== null && !elsewhere.includes('.');
    const words = isAtTop ? `${elsewhere}, beside ${String(issue.path[0])}` : elsewhere;
    return {
      error: {
        path: renderPath([...issue.path, key], root),
        message: unknownMemberMessage(key, known, words),
        code: 'unknown_member',
      },
      meant: likely === null ? (elsewhere ?? undefined) : renderPath([...issue.path, likely], root),
    };
  });
}

function toFieldError(issue: z.core.$ZodIssue, root: string): FieldError {
  const path = renderPath(issue.path, root);
  const isMissing =
    issue.code === 'invalid_type' && issue.input === undefined && /received undefined/.test(issue.message);
  if (isMissing) return { path, message: 'is required', code: 'required' };
  // A rule of our own may name its code; what zod calls it says nothing.
  const code = issue.code === 'custom' ? String(issue.params?.code ?? 'invalid') : issue.code;
  return { path, message: messageOf(issue), code };
}

/** zod's own texts speak to programmers of zod; these say what to send. A rule of our own has said so already. */
function messageOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${typeNames[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'too_big':
      return `must ${boundOf(issue.origin, 'at most', Number(issue.maximum))}`;
    case 'too_small':
      return `must ${boundOf(issue.origin, 'at least', Number(issue.minimum))}`;
    case 'invalid_format':
      return formatNames[issue.format] ?? issue.message;
    default:
      return issue.message;
  }
}

const typeNames: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a JSON object',
  record: 'a JSON object',
  array: 'an array',
};

const formatNames: Record<string, string> = {
  datetime: 'must be an instant with a time zone, such as 2027-01-31T00:00:00Z',
  email: 'must be an e-mail address, such as owner@example.com',
};

function boundOf(origin: string, comparison: string, bound: number): string {
  if (origin === 'string') return `have ${comparison} ${bound} ${bound === 1 ? 'character' : 'characters'}`;
  if (origin === 'array') return `have ${comparison} ${bound} ${bound === 1 ? 'entry' : 'entries'}`;
  return `be ${comparison} ${bound}`;
}

/** `restrictions.origins[0]`: the way a JavaScript or Python programmer would write it. */
function renderPath(path: readonly PropertyKey[], root: string): string {
  return path.reduce<string>((rendered, part) => {
    if (typeof part === 'number') return `${rendered}[${part}]`;
    const name = echoedName(String(part));
    return rendered === '' ? name : `${rendered}.${name}`;
  }, root);
}

/** As much of a member's name as an error repeats. */
export function echoedName(name: string): string {
  return name.slice(0, maxEchoedName).toWellFormed();
}
