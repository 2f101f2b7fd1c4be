import { scrub } from './scrub.ts';

/**
 * The members that a log line may have. Whatever else is passed to the logger is left out of the line, so that
 * nothing is logged because somebody spread an object into it: to log something new, name it here, and name nothing
 * that a caller of the API chooses freely; `dropped_scopes` and
 * `field` alone are, within the bounds of `RequestNote`.
 */
const members = [
  // Which request, and whose.
  'request_id',
  'account_id',
  'issuer_id',
  'client_id',
  'organization_id',
  'key_id',
  'event_id',
  'support_grant_id',
  'node_id',
  // What it was and how it went. `route` is the pattern, never the URL.
  'method',
  'route',
  'operation',
  'status',
  'code',
  'dropped_scopes',
  'field',
  'duration_ms',
  // What happened in the server.
  'component',
  'reason',
  'kind',
  'host',
  'port',
  'public_url',
  'mode',
  'file',
  'variables',
  'migration',
  'queue',
  'job_id',
  'purpose',
  'generation',
  'version',
  'count',
  'attempt',
  'delay_ms',
  'age_ms',
  'size_bytes',
  'segment_id',
  'offset',
  'pid',
  'signal',
  'exit_code',
] as const;

/** A member that a log line may have, besides `err`. */
export type LogMember = (typeof members)[number];

const allowed = new Set<string>(members);

/** Longer texts are cut: nothing that is worth a line in the log needs more. */
const longestText = 1000;

/**
 * What of an object may stand in a log line: the members named above, as far as they are texts, numbers, booleans or
 * lists of these, and `err`. How many were left out stands in `left_out`; their names could be secrets themselves.
 */
export function pickMembers(object: Record<string, unknown>): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  let leftOut = 0;
  for (const [name, value] of Object.entries(object)) {
    if (value === undefined) continue;
    if (name === 'err') picked.err = value;
    else if (allowed.has(name) && isPlain(value)) picked[name] = cut(value);
    else leftOut++;
  }
  if (leftOut > 0) picked.left_out = leftOut;
  return picked;
}

/** Members of a line that the log itself writes. */
const ownMembers = new Set(['level', 'time', 'message', 'err', 'left_out']);

/**
 * Looks a finished line through once more: members that came in by another way than a call (bindings of a child
 * logger) are left out unless they are named above, and every text is scrubbed.
 */
export function finishLine(line: string): string {
  const finished: Record<string, unknown> = {};
  let leftOut = 0;
  for (const [name, value] of Object.entries(JSON.parse(line) as Record<string, unknown>)) {
    if (ownMembers.has(name) || (allowed.has(name) && isPlain(value))) finished[name] = value;
    else leftOut++;
  }
  if (leftOut > 0) finished.left_out = leftOut + Number(finished.left_out ?? 0);
  const scrubbed = JSON.stringify(finished, (_name, value: unknown) =>
    typeof value === 'string' ? scrub(value) : value,
  );
  return `${scrubbed}\n`;
}

/** An error as it is logged. */
interface LoggedError {
  name: string;
  code?: string;
  message: string;
  /** Places in the code, without the message that a stack begins with. */
  stack?: string;
  cause?: LoggedError;
}

/**
 * Name, code, message and places in the code of an error and of what caused it; no other member, for drivers hang
 * queries, their values and whole connections on their errors.
 */
export function describeError(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { name: 'not an Error', message: typeof error };
  const { name, message, stack, cause } = error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const frames = stack
    ?.match(/^ {4}at .*$/gm)
    ?.slice(0, 12)
    .join('\n');
  return {
    name: String(name),
    ...(code !== undefined && { code }),
    message: String(message).slice(0, longestText),
    ...(frames !== undefined && { stack: frames }),
    ...(cause !== undefined && depth < 4 && { cause: describeError(cause, depth + 1) }),
  };
}

type Plain = string | number | boolean | null;

function isPlain(value: unknown): value is Plain | Plain[] {
  if (Array.isArray(value)) return value.every((item) => isPlain(item) && !Array.isArray(item));
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}

function cut(value: Plain | Plain[]): Plain | Plain[] {
  if (Array.isArray(value)) return value.slice(0, 50).map((item) => cut(item) as Plain);
  return typeof value === 'string' ? value.slice(0, longestText) : value;
}
