import { z } from 'zod';
import { type ErrorCode, errorTable } from '../errors.ts';
import type { ContractOnlyRoute, Route } from '../http/route.ts';
import { idPrefixes } from '../ids/ids.ts';
import { allPresetKeyHeaders } from '../key-profiles/presets.ts';
import { isOpenToSupport, supportAccountHeader } from '../support-grants/support-access.ts';
import { packageVersion } from '../version.ts';
import { answersOf, headerComponents } from './answers.ts';
import { Components, type JsonSchema } from './components.ts';
import { takesIfMatch } from './error-codes.ts';
import { introduction } from './introduction.ts';
import { headerParameter, parametersIn } from './parameters.ts';

/** Writes the OpenAPI 3.1 document of these routes. It comes from the routes and from nowhere else. */
export function createOpenApiDocument(routes: readonly Route[]): JsonSchema {
  const components = new Components();
  const problem = components.reference(problemSchema);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const operations = paths[route.path] ?? {};
    paths[route.path] = operations;
    for (const [method, operationId] of methodsOf(route))
      operations[method] = operationOf(route, operationId, components, problem);
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Gatelodge',
      version: packageVersion,
      description: introduction,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map(tagOf))].map((name) => ({ name, description: tagDescriptions[name] })),
    paths,
    components: {
      schemas: components.schemas(),
      responses: components.responses(),
      headers: headerComponents,
      securitySchemes,
    },
  };
}

const problemSchema = z
  .object({
    type: z.string().describe('A URL that tells more of the code.'),
    title: z.string().describe('The same for every occurrence of the code.'),
    status: z.number().int().min(400).max(599),
    detail: z.string().describe('What was wrong this time. Branch on `code`, not on this.'),
    code: z.enum(Object.keys(errorTable).sort() as [ErrorCode, ...ErrorCode[]]),
    request_id: z.string(),
    attempts_left: z
      .number()
      .int()
      .min(0)
      .optional()
      .describe('Of `invalid_otp`: how many guesses are still allowed.'),
    errors: z
      .array(z.object({ path: z.string(), message: z.string(), code: z.string() }))
      .optional()
      .describe('Each thing that is wrong with the input, where it is, and how to mend it.'),
  })
  .meta({ id: 'Problem', description: 'An error, as RFC 9457 has it.' });

/** One header a preset; which of them an issuer's keys come in is a matter of its key profile. */
const keyHeaderSchemes = Object.fromEntries(
  allPresetKeyHeaders
    .filter((name) => name !== 'authorization')
    .map((name) => [name, { type: 'apiKey', in: 'header', name, description: 'The secret of a key.' }]),
);

const securitySchemes: JsonSchema = {
  basic: { type: 'http', scheme: 'basic', description: 'The id of a key and its secret.' },
  bearer: { type: 'http', scheme: 'bearer', description: 'The secret of a key.' },
  ...keyHeaderSchemes,
  accessToken: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'The access token of a user who has signed in.',
  },
  client: { type: 'http', scheme: 'basic', description: 'The id of an OIDC client and its secret.' },
  metricsToken: { type: 'http', scheme: 'bearer', description: 'The token of GATELODGE_METRICS_TOKEN.' },
};

const basicOrBearer = ['basic', 'bearer'];
const schemesOf: Record<ContractOnlyRoute['security'], readonly string[]> = {
  key: basicOrBearer,
  'any-key': [...basicOrBearer, ...Object.keys(keyHeaderSchemes)],
  'issuer-key': ['bearer', ...Object.keys(keyHeaderSchemes)],
  'access-token': ['accessToken'],
  client: ['client'],
  'metrics-token': ['metricsToken'],
  operator: ['basic'],
  none: [],
};

/** Where every method is answered alike, each of the usual ones has an operation. */
function methodsOf(route: Route): [method: string, operationId: string][] {
  const method = route.method.toLowerCase();
  if (route.handler !== null || route.anyMethod !== true) return [[method, route.operationId]];
  const others = ['get', 'post', 'put', 'patch', 'delete'].filter((other) => other !== method);
  return [
    [method, route.operationId],
    ...others.map((other): [string, string] => [other, `${route.operationId}.${other}`]),
  ];
}

function operationOf(
  route: Route,
  operationId: string,
  components: Components,
  problem: JsonSchema,
): JsonSchema {
  const isManagement = route.handler !== null;
  const parameters = [
    ...parametersIn('path', route.params, components),
    ...parametersIn('query', route.query, components),
    ...(isManagement && route.creates
      ? [
          headerParameter(
            'Idempotency-Key',
            'Makes a repeated request answer what the first one did, for 24 hours.',
            { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
          ),
        ]
      : []),
    ...(isManagement && takesIfMatch(route)
      ? [
          headerParameter('If-Match', 'The ETag that the object must still have.', {
            type: 'string',
            examples: ['"3"'],
          }),
        ]
      : []),
    ...(isOpenToSupport(route)
      ? [
          headerParameter(
            supportAccountHeader,
            'For the operator’s support: reads in this account, by an active support grant of it. Any other key is refused.',
            { type: 'string', pattern: `^${idPrefixes.account}[0-9a-z]{25}$` },
          ),
        ]
      : []),
  ];
  const schemes = isManagement ? basicOrBearer : schemesOf[route.security];
  return {
    operationId,
    summary: route.summary,
    ...(route.description && { description: route.description }),
    tags: [tagOf(route)],
    security: schemes.map((scheme) => ({ [scheme]: [] })),
    ...(isManagement && route.permission && { 'x-permission': route.permission }),
    ...(isManagement && { 'x-level': route.level ?? 'own' }),
    ...(parameters.length > 0 && { parameters }),
    ...(route.body && {
      requestBody: requestBody(route.body, typesOf(route), components),
    }),
    responses: answersOf(route, components, problem),
  };
}

function typesOf(route: Route): readonly string[] {
  if (route.handler === null)
    return route.isForm ? ['application/x-www-form-urlencoded'] : ['application/json'];
  return route.isMergePatch ? ['application/merge-patch+json', 'application/json'] : ['application/json'];
}

function requestBody(body: z.ZodType, types: readonly string[], components: Components): JsonSchema {
  const schema = components.reference(body, 'input');
  const { required = [] } = components.inline(body, 'input') as { required?: string[] };
  const example = z.globalRegistry.get(body)?.examples as unknown[] | undefined;
  const content = { schema, ...(example && { example: example[0] }) };
  return { required: required.length > 0, content: Object.fromEntries(types.map((type) => [type, content])) };
}

const tagDescriptions: Record<string, string> = {
  account: 'Your own account.',
  accounts: 'The accounts of the installation, for its operator.',
  apiKeys: 'API keys of the account, of an issuer, or of an organization.',
  auth: 'Sign-in of an application’s users.',
  authorize: 'Decisions for a gateway that holds the request (forward auth).',
  clients: 'The applications that may sign users of an issuer in.',
  events: 'What has happened.',
  errors: 'What error codes mean.',
  devMailbox: 'The mails that were not sent, in development alone.',
  discovery: 'What an issuer is, for whoever reads its tokens.',
  health: 'How the node is.',
  home: 'The page at the root.',
  issuers: 'An issuer is one API or product of yours, live or sandbox.',
  jwks: 'The public keys of an issuer.',
  keyProfiles: 'How the keys of an issuer look and how its errors speak.',
  keys: 'Decisions about API keys.',
  groups: 'Named sets of scopes for the members of an organization.',
  loginSettings: 'How the users of an issuer sign in.',
  me: 'Who a credential is.',
  oidc: 'The OIDC runtime of an issuer, for its clients and the browsers of their users.',
  login: 'The pages on which users sign in, for their browsers.',
  oidcSettings: 'What the OIDC runtime of an issuer does.',
  openapi: 'This document.',
  members: 'Who belongs to an organization, and what it may do there.',
  organizations: 'The tenants of an issuer.',
  plans: 'Named sets of limits for accounts, issuers and organizations.',
  sessions: 'Where users are signed in.',
  users: 'Who signs in to an issuer.',
  signingKeys: 'What an issuer signs its tokens with.',
  usage: 'How many decisions there were, and how they came out.',
  statements: 'What customers used in a month.',
  supportGrants: 'Leave for the operator’s support to read in your account for a while.',
};

/** The first word of `organization.apiKeys.create` would lump keys with organizations; the last but one is the noun. */
function tagOf(route: Route): string {
  return route.operationId.split('.').at(-2) ?? route.operationId;
}
