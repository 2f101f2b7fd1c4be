import { z } from 'zod';
import { type ErrorCode, errorTable } from '../errors.ts';
import { problemContentType } from '../http/problem.ts';
import type { ContractOnlyRoute, Route, RouteDefinition } from '../http/route.ts';
import { packageVersion } from '../version.ts';

type JsonSchema = Record<string, unknown>;
type AnyRoute = RouteDefinition<z.ZodType, z.ZodType, z.ZodType>;

const errorsOfEvery: readonly ErrorCode[] = [
  'bad_request',
  'https_required',
  'internal_error',
  'unavailable',
];
const errorsOfManagement: readonly ErrorCode[] = [
  'missing_key',
  'invalid_key',
  'revoked_key',
  'expired_key',
  'disabled_key',
  'ambiguous_credentials',
  'account_suspended',
  'issuer_suspended',
  'tenant_suspended',
  'origin_not_allowed',
  'ip_not_allowed',
  'secret_key_in_browser',
  'permission_denied',
  'invalid_request',
];
const errorsOfBodies: readonly ErrorCode[] = ['malformed_json', 'body_too_large', 'unsupported_media_type'];

const securitySchemes = {
  basic: { type: 'http', scheme: 'basic', description: 'The id of a key and its secret.' },
  bearer: { type: 'http', scheme: 'bearer', description: 'The secret of a key.' },
};

/** Writes the OpenAPI 3.1 document of these routes. It comes from the routes and from nowhere else. */
export function createOpenApiDocument(routes: readonly Route[]): JsonSchema {
  const components = new Components();
  const problem = components.reference(problemSchema);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const operations = paths[route.path] ?? {};
    paths[route.path] = operations;
    const operation =
      route.handler === null
        ? contractOperation(route, components, problem)
        : managementOperation(route as AnyRoute, components, problem);
    operations[route.method.toLowerCase()] = operation;
    if (route.handler === null && route.anyMethod === true) {
      for (const method of ['post', 'put', 'patch', 'delete']) {
        operations[method] = { ...operation, operationId: `${route.operationId}.${method}` };
      }
    }
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Gatelodge',
      version: packageVersion,
      description: 'Multi-tenant API keys and multi-tenant login.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: tagsOf(routes),
    paths,
    components: { schemas: components.schemas(), securitySchemes },
  };
}

const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int().min(400).max(599),
    detail: z.string(),
    code: z.string(),
    request_id: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string(), code: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'An error, as RFC 9457 has it.' });

function managementOperation(route: AnyRoute, components: Components, problem: JsonSchema): JsonSchema {
  const errors = new Set<ErrorCode>([
    ...errorsOfEvery,
    ...errorsOfManagement,
    ...(route.path.includes('{') ? (['not_found'] as const) : []),
    ...(route.method === 'GET' ? [] : errorsOfBodies),
    ...(/^(PATCH|DELETE|PUT)$/.test(route.method) || !route.creates
      ? (['precondition_failed'] as const)
      : []),
    ...(route.creates ? (['idempotency_in_flight', 'idempotency_mismatch', 'not_found'] as const) : []),
    ...(route.errors ?? []),
  ]);
  if (route.method === 'GET') errors.delete('precondition_failed');
  const changes = route.method !== 'GET' && !route.creates;
  const parameters = [
    ...parametersIn('path', route.params, components),
    ...parametersIn('query', route.query, components),
    ...(route.creates
      ? [
          headerParameter(
            'Idempotency-Key',
            'Makes a repeated request answer what the first one did, for 24 hours.',
          ),
        ]
      : []),
    ...(changes ? [headerParameter('If-Match', 'The ETag that the object must still have.')] : []),
  ];
  return {
    operationId: route.operationId,
    summary: route.summary,
    ...(route.description && { description: route.description }),
    tags: [tagOf(route)],
    security: [{ basic: [] }, { bearer: [] }],
    ...(route.permission && { 'x-permission': route.permission }),
    ...(parameters.length > 0 && { parameters }),
    ...(route.body && { requestBody: requestBody(route.body, route.isMergePatch === true, components) }),
    responses: { ...answers(route.responses, components), ...refusalAnswers(errors, problem) },
  };
}

function contractOperation(
  route: ContractOnlyRoute,
  components: Components,
  problem: JsonSchema,
): JsonSchema {
  const isKeyed = route.security === 'key' || route.security === 'profile-key';
  const errors = new Set<ErrorCode>([
    ...errorsOfEvery,
    ...(isKeyed ? errorsOfManagement : []),
    ...(route.path.includes('{') ? (['not_found'] as const) : []),
    ...(route.body ? errorsOfBodies : []),
    ...(route.errors ?? []),
  ]);
  const refusals =
    route.anyMethod === true ? dialectAnswers(errors, problem) : refusalAnswers(errors, problem);
  const parameters = [
    ...parametersIn('path', route.params, components),
    ...parametersIn('query', route.query, components),
  ];
  return {
    operationId: route.operationId,
    summary: route.summary,
    ...(route.description && { description: route.description }),
    tags: [tagOf(route)],
    security: isKeyed
      ? [{ basic: [] }, { bearer: [] }]
      : route.security === 'metrics-token'
        ? [{ bearer: [] }]
        : [],
    ...(parameters.length > 0 && { parameters }),
    ...(route.body && { requestBody: requestBody(route.body, false, components) }),
    responses: { ...refusals, ...answers(route.responses, components) },
  };
}

function answers(responses: ContractOnlyRoute['responses'], components: Components): JsonSchema {
  return Object.fromEntries(
    Object.entries(responses).map(([status, { description, schema, contentType, headers }]) => [
      status,
      {
        description,
        ...(headers && {
          headers: Object.fromEntries(headers.map((name) => [name, { schema: { type: 'string' } }])),
        }),
        ...((schema || contentType) && {
          content: {
            [contentType ?? 'application/json']: {
              schema: schema ? components.reference(schema) : { type: 'string' },
            },
          },
        }),
      },
    ]),
  );
}

/** The errors of an operation, by status; the codes of each stand in its description. */
function refusalAnswers(errors: ReadonlySet<ErrorCode>, problem: JsonSchema): JsonSchema {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of errors)
    byStatus.set(errorTable[code].status, [...(byStatus.get(errorTable[code].status) ?? []), code]);
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, codes]) => [
        String(status),
        {
          description: codes
            .sort()
            .map((code) => `\`${code}\``)
            .join(', '),
          content: { [problemContentType]: { schema: problem } },
        },
      ]),
  );
}

/** Forward auth speaks the dialect of the issuer's profile. */
function dialectAnswers(errors: ReadonlySet<ErrorCode>, problem: JsonSchema): JsonSchema {
  const nested = {
    type: 'object',
    required: ['error'],
    properties: {
      error: {
        type: 'object',
        required: ['code', 'message', 'type'],
        properties: { code: { type: 'string' }, message: { type: 'string' }, type: { type: 'string' } },
      },
    },
  };
  const flat = {
    type: 'object',
    required: ['error', 'code'],
    properties: { error: { type: 'string' }, code: { type: 'string' } },
  };
  const answered = refusalAnswers(errors, problem) as Record<string, { content: JsonSchema }>;
  for (const answer of Object.values(answered))
    answer.content['application/json'] = { schema: { anyOf: [nested, flat] } };
  return answered;
}

function requestBody(body: z.ZodType, isMergePatch: boolean, components: Components): JsonSchema {
  const schema = components.reference(body, 'input');
  const types = isMergePatch ? ['application/merge-patch+json', 'application/json'] : ['application/json'];
  const required = (z.toJSONSchema(body, { io: 'input', unrepresentable: 'any' }) as { required?: unknown[] })
    .required;
  return {
    required: (required?.length ?? 0) > 0,
    content: Object.fromEntries(types.map((type) => [type, { schema }])),
  };
}

function parametersIn(
  place: 'path' | 'query',
  schema: z.ZodType | undefined,
  components: Components,
): JsonSchema[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = components.inline(schema) as {
    properties?: Record<string, JsonSchema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...property }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description !== undefined && { description }),
    schema: property,
  }));
}

function headerParameter(name: string, description: string): JsonSchema {
  return { name, in: 'header', required: false, description, schema: { type: 'string' } };
}

/** The first word of `organization.apiKeys.create` would lump keys with organizations; the last but one is the noun. */
function tagOf(route: Route): string {
  return route.operationId.split('.').at(-2) ?? route.operationId;
}

function tagsOf(routes: readonly Route[]): JsonSchema[] {
  return [...new Set(routes.map(tagOf))].map((name) => ({ name }));
}

/** Collects the schemas that have a name (`meta({ id })`), so that each stands in the document once. */
class Components {
  readonly #schemas = new Map<string, JsonSchema>();

  schemas(): JsonSchema {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** The schema itself, or a reference where it has a name. */
  reference(schema: z.ZodType, io: 'input' | 'output' = 'output'): JsonSchema {
    const id = (z.globalRegistry.get(schema) as { id?: string } | undefined)?.id;
    const json = this.inline(schema, io);
    if (id === undefined) return json;
    this.#schemas.set(id, json);
    return { $ref: `#/components/schemas/${id}` };
  }

  inline(schema: z.ZodType, io: 'input' | 'output' = 'input'): JsonSchema {
    const json = z.toJSONSchema(schema, {
      io,
      unrepresentable: 'any',
      target: 'draft-2020-12',
      cycles: 'ref',
    }) as JsonSchema;
    const { $schema: _dialect, id: _id, $defs, ...rest } = json;
    for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, JsonSchema>)) {
      const { id: _inner, ...body } = definition;
      this.#schemas.set(name.startsWith('__') ? `Json${name.slice(2)}` : name, tidy(body) as JsonSchema);
    }
    return tidy(rest) as JsonSchema;
  }
}

/** References point into the components, and the bounds that zod gives every integer go: they say nothing. */
function tidy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tidy);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(
    ([name, bound]) =>
      !((name === 'maximum' || name === 'minimum') && Math.abs(Number(bound)) === Number.MAX_SAFE_INTEGER),
  );
  return Object.fromEntries(
    members.map(([name, inner]) =>
      name === '$ref' && typeof inner === 'string'
        ? [
            name,
            inner.replace(
              /^#\/\$defs\/(__)?/,
              (_all, hidden) => `#/components/schemas/${hidden ? 'Json' : ''}`,
            ),
          ]
        : [name, tidy(inner)],
    ),
  );
}
