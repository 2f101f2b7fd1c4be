// A subscriptions API behind Gatelodge, with nothing but Node: `node server.mjs`, then http://127.0.0.1:8080.
//
// It knows no keys. The gateway in front has asked Gatelodge and says in headers whose request this is; whoever could
// reach this port past the gateway could write these headers too, so it listens on loopback only.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const maxBodyBytes = 256 * 1024;
const plans = ['starter', 'team', 'enterprise'];

/**
 * The API as a listener for `createServer`, with data of its own.
 *
 * @returns {import('node:http').RequestListener}
 */
export function createTenantApi() {
  const store = new SubscriptionStore();
  return (request, response) => {
    handle(request, store).then(
      (answer) => send(request, response, answer),
      (error) => {
        if (!(error instanceof Refusal)) console.error(error);
        const { status, code, message } =
          error instanceof Refusal ? error : new Refusal(500, 'internal_error', 'Something went wrong');
        send(request, response, { status, body: { error: { code, message, type: typeOf(status) } } });
      },
    );
  };
}

async function handle(request, store) {
  // The gateway lets preflights pass without an identity: they carry no key, and are told nothing of anyone's.
  if (isPreflight(request)) return { status: 204 };
  const { pathname, searchParams } = new URL(request.url, 'http://api.invalid');
  const tenant = tenantOf(request);
  const [, version, noun, id, ...rest] = pathname.split('/');
  if (version !== 'v1' || noun !== 'subscriptions' || rest.length > 0) throw notFound();
  if (id === undefined) {
    if (request.method === 'GET') return { status: 200, body: store.list(tenant, readPage(searchParams)) };
    if (request.method !== 'POST') throw new Refusal(405, 'method_not_allowed', 'Use GET or POST');
    const created = store.create(tenant, readSubscription(await readJson(request)));
    return { status: 201, body: { data: created } };
  }
  if (request.method !== 'GET') throw new Refusal(405, 'method_not_allowed', 'Use GET');
  const subscription = store.find(tenant, id);
  // Another tenant's subscription is answered like one that does not exist.
  if (subscription === undefined) throw notFound();
  return { status: 200, body: { data: subscription } };
}

/** Each organization has its own subscriptions, and in each environment others. */
class SubscriptionStore {
  #byTenant = new Map();

  list(tenant, { limit, cursor }) {
    const all = this.#of(tenant);
    const start = cursor === null ? 0 : all.findIndex(({ id }) => id === cursor) + 1;
    if (cursor !== null && start === 0) throw invalid('cursor: take next_cursor of the page before');
    const data = all.slice(start, start + limit);
    const hasMore = start + limit < all.length;
    return { data, has_more: hasMore, next_cursor: hasMore ? data.at(-1).id : null };
  }

  find(tenant, id) {
    return this.#of(tenant).find((subscription) => subscription.id === id);
  }

  create(tenant, { plan, seats }) {
    const subscription = {
      id: `sub_${randomUUID().replaceAll('-', '')}`,
      plan,
      seats,
      environment: tenant.environment,
      created_at: new Date().toISOString(),
    };
    this.#of(tenant).unshift(subscription);
    return subscription;
  }

  #of({ organizationId, environment }) {
    const name = `${organizationId} ${environment}`;
    if (!this.#byTenant.has(name)) this.#byTenant.set(name, []);
    return this.#byTenant.get(name);
  }
}

/** Whose request this is, by the gateway's word. Without it the request came some other way, and is refused. */
function tenantOf({ headers }) {
  const keyId = headers['x-gatelodge-key-id'];
  const organizationId = headers['x-gatelodge-organization-id'];
  const environment = headers['x-gatelodge-environment'];
  if (!/^key_\w+$/.test(keyId ?? '') || !/^(live|sandbox)$/.test(environment ?? '')) throw unidentified();
  // A key of the whole issuer, sent without a tenant.
  if (organizationId === '') throw new Refusal(403, 'tenant_required', 'Name the tenant of this request');
  // Two values of one header come joined by a comma, and are none.
  if (!/^org_\w+$/.test(organizationId ?? '')) throw unidentified();
  return { organizationId, environment };
}

function unidentified() {
  return new Refusal(401, 'authentication_failed', 'This request did not come through the gateway');
}

function readPage(searchParams) {
  const limit = Number(searchParams.get('limit') ?? '20');
  if (!Number.isInteger(limit) || limit < 1 || limit > 100) throw invalid('limit: use 1 to 100');
  return { limit, cursor: searchParams.get('cursor') };
}

function readSubscription(body) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('Send a JSON object');
  const { plan, seats = 1, ...others } = body;
  if (!plans.includes(plan)) throw invalid(`plan: use ${plans.join(', ')}`);
  if (!Number.isInteger(seats) || seats < 1 || seats > 10_000) throw invalid('seats: use 1 to 10000');
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw invalid('There is a member besides plan and seats; remove it');
  return { plan, seats };
}

async function readJson(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new Refusal(413, 'too_large', 'A body has at most 256 KiB');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new Refusal(400, 'invalid_request', 'The body is not JSON');
  }
}

function isPreflight({ method, headers }) {
  return (
    method === 'OPTIONS' &&
    headers.origin !== undefined &&
    headers['access-control-request-method'] !== undefined
  );
}

function send(request, response, { status, body }) {
  const text = body === undefined ? '' : JSON.stringify(body);
  response.writeHead(status, {
    ...corsHeaders(request),
    ...(status === 204
      ? {}
      : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
    ...(status === 413 && { Connection: 'close' }),
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}

/** Any page may ask: which pages a key may be used from, Gatelodge has checked. Never with cookies. */
function corsHeaders(request) {
  const { origin } = request.headers;
  if (origin === undefined) return { Vary: 'Origin' };
  return {
    Vary: 'Origin',
    'Access-Control-Allow-Origin': origin,
    ...(isPreflight(request)
      ? {
          'Access-Control-Allow-Methods': 'GET, POST',
          'Access-Control-Allow-Headers': 'Authorization, Content-Type, X-API-Key, X-TN',
          'Access-Control-Max-Age': '600',
        }
      : {
          'Access-Control-Expose-Headers':
            'X-Environment, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit, RateLimit-Policy, X-Request-Id, Deprecation, Sunset',
        }),
  };
}

class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const notFound = () => new Refusal(404, 'not_found', 'There is no such thing');
const invalid = (message) => new Refusal(422, 'invalid_request', message);

function typeOf(status) {
  if (status >= 500) return 'api_error';
  if (status === 401) return 'authentication_error';
  return status === 403 ? 'permission_error' : 'invalid_request_error';
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const port = Number(process.env.PORT ?? 8080);
  createServer(createTenantApi()).listen(port, '127.0.0.1', () => {
    console.log(`Subscriptions API on http://127.0.0.1:${port}, for a gateway to pass requests on to`);
  });
}
