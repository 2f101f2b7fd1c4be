import { type ErrorCode, errorTable } from '../errors.ts';
import { problemContentType } from '../http/problem.ts';
import type { Route } from '../http/route.ts';
import { isOpenToSupport, supportGrantHeader } from '../support-grants/support-access.ts';
import type { Components, JsonSchema } from './components.ts';
import { errorCodesOf } from './error-codes.ts';

interface HeaderText {
  description: string;
  schema: JsonSchema;
  /** Whether it is on every answer that lists it. */
  required?: true;
}

const text: JsonSchema = { type: 'string' };

const attemptsLeft: JsonSchema = {
  type: 'integer',
  minimum: 0,
  description: 'Of `invalid_otp`: how many guesses are still allowed.',
};

/** The headers of answers, by the names that they have on the wire. */
const headerTexts = {
  'X-Request-Id': {
    description: 'Names the request: the caller’s own X-Request-Id where well formed, else made here.',
    schema: text,
    required: true,
  },
  'X-Environment': {
    description:
      'The environment of the key or issuer that decided, by the label of its key profile (which may also choose another name for this header).',
    schema: { ...text, examples: ['LIVE', 'SANDBOX'] },
  },
  ETag: {
    description: 'The version of the object, for If-Match.',
    schema: { ...text, pattern: '^"[0-9]+"$' },
    required: true,
  },
  'X-Gatelodge-Support-Grant': {
    description: 'The support grant by which the operator read this, where X-Gatelodge-Account was sent.',
    schema: text,
  },
  Location: { description: 'Path of the new object.', schema: text, required: true },
  'Idempotent-Replayed': {
    description: '`true` where this is the answer of an earlier request under the same Idempotency-Key.',
    schema: { ...text, enum: ['true'] },
  },
  'Retry-After': {
    description: 'Seconds after which the same request may succeed.',
    schema: { ...text, pattern: '^[0-9]+$' },
  },
  'WWW-Authenticate': {
    description: 'The credentials that are taken (RFC 9110 §11.6.1).',
    schema: text,
    required: true,
  },
} as const satisfies Record<string, HeaderText>;

type HeaderName = keyof typeof headerTexts;

/** `components.headers`. */
export const headerComponents: JsonSchema = Object.fromEntries(
  Object.entries(headerTexts).map(([name, header]) => [componentOf(name), header]),
);

/** Every answer of a route by its status: what it was made for, and its errors. */
export function answersOf(route: Route, components: Components, problem: JsonSchema): JsonSchema {
  const codesByStatus = new Map<number, ErrorCode[]>();
  for (const code of [...errorCodesOf(route)].sort()) {
    const { status } = errorTable[code];
    codesByStatus.set(status, [...(codesByStatus.get(status) ?? []), code]);
  }
  const statuses = new Set([...codesByStatus.keys(), ...Object.keys(route.responses).map(Number)]);
  const answers = [...statuses]
    .sort((a, b) => a - b)
    .map((status) => {
      const codes = codesByStatus.get(status);
      const error = codes && errorAnswer(route, status, codes, components, problem);
      if (error !== undefined && !(status in route.responses))
        return [status, components.error(status, error)];
      return [status, withErrorsOf(ownAnswer(route, status, components), error)];
    });
  return Object.fromEntries(answers) as JsonSchema;
}

function ownAnswer(route: Route, status: number, components: Components): JsonSchema {
  const { description, schema, ...more } = route.responses[status]!;
  const {
    contentType,
    headers = [],
    isReport = false,
    isPageToo = false,
  } = more as {
    contentType?: string;
    headers?: readonly string[];
    isReport?: boolean;
    isPageToo?: boolean;
  };
  const json = schema && components.reference(schema);
  const names: HeaderName[] = [...headersOfEvery(route)];
  if (route.handler !== null) {
    if (schema !== undefined && !isReport && isSingle(components.inline(schema, 'output')))
      names.push('ETag');
    if (status === 201) names.push('Location');
    if (route.creates) names.push('Idempotent-Replayed');
  }
  return {
    description,
    headers: {
      ...referencesTo(names),
      ...Object.fromEntries(headers.map((name) => [name, { schema: text }])),
    },
    ...((json || contentType) && {
      content: {
        [contentType ?? 'application/json']: { schema: json ?? text },
        ...(isPageToo && { 'text/html': { schema: text } }),
      },
    }),
  };
}

/** `{ "data": {…} }`, which has a version; a list has none. */
function isSingle({ properties }: JsonSchema): boolean {
  const { data } = (properties ?? {}) as { data?: { type?: string } };
  return data !== undefined && data.type !== 'array';
}

function errorAnswer(
  route: Route,
  status: number,
  codes: readonly ErrorCode[],
  components: Components,
  problem: JsonSchema,
): JsonSchema {
  const names: HeaderName[] = [...headersOfEvery(route)];
  if (status === 401) names.push('WWW-Authenticate');
  if (codes.some((code) => code === 'unavailable' || code === 'idempotency_in_flight'))
    names.push('Retry-After');
  return {
    description: codes.map((code) => `\`${code}\`: ${errorTable[code].title}.`).join(' '),
    'x-codes': codes,
    headers: referencesTo(names),
    content: {
      [problemContentType]: { schema: problem },
      ...(speaksDialects(route) && { 'application/json': { schema: dialects(components) } }),
    },
  };
}

/** A status that an operation both declares and fails with has both contents. */
function withErrorsOf(own: JsonSchema, errors: JsonSchema | undefined): JsonSchema {
  if (errors === undefined) return own;
  return {
    ...own,
    description: `${String(own.description)} Or: ${String(errors.description)}`,
    'x-codes': errors['x-codes'],
    headers: { ...(errors.headers as JsonSchema), ...(own.headers as JsonSchema) },
    content: { ...(own.content as JsonSchema), ...(errors.content as JsonSchema) },
  };
}

/** Forward auth and sign-in speak the dialect of the issuer's profile. */
function speaksDialects(route: Route): boolean {
  return route.handler === null && (route.security === 'issuer-key' || route.speaksDialects === true);
}

function dialects(components: Components): JsonSchema {
  const members = (names: readonly string[]) => ({
    required: names,
    properties: { ...Object.fromEntries(names.map((name) => [name, text])), attempts_left: attemptsLeft },
    additionalProperties: false,
  });
  const nested = components.named('NestedError', {
    type: 'object',
    description: 'An error where the key profile has `"error_format": "nested"`.',
    required: ['error'],
    properties: { error: { type: 'object', ...members(['code', 'message', 'type']) } },
    additionalProperties: false,
  });
  const flat = components.named('FlatError', {
    type: 'object',
    description: 'An error where the key profile has `"error_format": "flat"`.',
    ...members(['error', 'code']),
  });
  return { anyOf: [nested, flat] };
}

function headersOfEvery(route: Route): HeaderName[] {
  const isKeyed = route.handler !== null || route.security.endsWith('key');
  if (!isKeyed) return ['X-Request-Id'];
  return [
    'X-Request-Id',
    'X-Environment',
    ...(isOpenToSupport(route) ? ([supportGrantHeader] as const) : []),
  ];
}

function referencesTo(names: readonly HeaderName[]): JsonSchema {
  return Object.fromEntries(
    names.map((name) => [name, { $ref: `#/components/headers/${componentOf(name)}` }]),
  );
}

function componentOf(header: string): string {
  return header.replaceAll('-', '');
}
