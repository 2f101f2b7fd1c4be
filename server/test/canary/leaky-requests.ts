import type { Operation } from '../harness/openapi.ts';
import type { RawRequest } from '../harness/raw-http.ts';
import type { Tenant } from '../harness/tenant.ts';

/** What a request that fails is made of. */
interface Leaky {
  /** Whose secrets are shown. */
  tenant: Tenant;
  /** A key that may do nothing here. */
  powerless: { id: string; secret: string };
  /** Of the operation, with ids in it. */
  path: string;
  /** With which it would work. */
  credentials: Record<string, string>;
}

/** Ways to fail, with secrets in all the places in which a caller might put one. */
export function leakyRequests(
  operation: Operation,
  { tenant, powerless, path, credentials }: Leaky,
): (readonly [about: string, request: RawRequest & { path: string }])[] {
  const { secret } = tenant.issuer.key;
  const stranger = path.replaceAll(
    /(acc|i|org|usr|ses|key|sup)_[0-9a-z]{25}/g,
    (id) => `${id.slice(0, -3)}zzz`,
  );
  const authorized = { ...credentials, 'Content-Type': 'application/json' };
  const body = JSON.stringify(operation.body?.example ?? {});
  const withSecrets = JSON.stringify({ ...secretsIn(operation.body?.example, secret), unknown: secret });
  const json = (more: object, text = body) => ({
    path,
    headers: { ...authorized, ...more },
    ...sent(operation, text),
  });
  return [
    ['no credential', { path, ...sent(operation, body) }],
    ['a secret without a scheme', { path, headers: { Authorization: secret } }],
    ['a secret as the id', { path, headers: basic({ id: secret, secret: tenant.key.id }) }],
    ['a secret under another id', { path, headers: basic({ id: tenant.key.id, secret }) }],
    ['a deleted key', { path, headers: basic(tenant.deletedKey) }],
    ['a made-up key', { path, headers: { Authorization: `Bearer ${secret}x`, 'X-API-Key': secret } }],
    ['two keys', { path, headers: { 'X-API-Key': [secret, tenant.key.secret] } }],
    ['a publishable key', { path, headers: basic(tenant.issuer.publishableKey) }],
    ['a key without permissions', { path, headers: basic(powerless) }],
    ['a foreign object', { ...json({}), path: stranger }],
    [
      'a secret as an id',
      { ...json({}), path: path.replace(/(i|org|usr|ses|key|acc|sup)_[0-9a-z]{25}/, secret) },
    ],
    ['a secret as a route', { ...json({}), path: `/v1/${secret}` }],
    ['a bad escape after a secret', { ...json({}), path: `${path}/${secret}%zz` }],
    ['a method it does not take', { ...json({}), method: 'PROPFIND' }],
    [
      'a secret in the query',
      { ...json({}), path: `${path}?api_key=${secret}&cursor=${secret}&limit=${secret}` },
    ],
    ['malformed JSON with a secret', json({}, `{"key":"${secret}","name":"${secret}`)],
    ['JSON that is no object', json({}, JSON.stringify(secret))],
    ['members full of secrets', json({}, withSecrets)],
    ['another content type', json({ 'Content-Type': `text/${secret}` }, secret)],
    ['too large a body', json({}, JSON.stringify({ name: secret.repeat(6_000) }))],
    ['a header full of secrets', json({ 'X-Canary': `${secret} `.repeat(400) })],
    [
      'a JWT',
      {
        path,
        headers: {
          Authorization: `Bearer eyJhbGciOiJub25lIn0.${Buffer.from(secret).toString('base64url')}.`,
        },
      },
    ],
    ...(takes(operation, 'Idempotency-Key')
      ? ([['an Idempotency-Key that is none', json({ 'Idempotency-Key': `${secret} ${secret}` })]] as const)
      : []),
    ...(takes(operation, 'If-Match')
      ? ([
          ['an If-Match that is a secret', json({ 'If-Match': `"${secret}"` })],
          ['an If-Match that is no tag', json({ 'If-Match': secret })],
        ] as const)
      : []),
    // Elsewhere this would be no failure, and end what the others need.
    ...(operation.method === 'GET'
      ? ([['a tenant that is a secret', json({ 'x-tn': secret, Origin: 'https://evil.example' })]] as const)
      : []),
  ];
}

export function takes({ parameters }: Operation, header: string): boolean {
  return parameters.some(({ name }) => name === header);
}

export function basic({ id, secret }: { id: string; secret: string }): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` };
}

function sent({ method }: Operation, body: string): { body?: string } {
  return method === 'GET' ? {} : { body };
}

/** A body in which every text is the secret. */
function secretsIn(value: unknown, secret: string): Record<string, unknown> {
  const replaced = (inner: unknown): unknown => {
    if (typeof inner === 'string') return secret;
    if (Array.isArray(inner)) return inner.map(replaced);
    if (typeof inner !== 'object' || inner === null) return inner;
    return Object.fromEntries(Object.entries(inner).map(([name, each]) => [name, replaced(each)]));
  };
  return replaced(value ?? {}) as Record<string, unknown>;
}
