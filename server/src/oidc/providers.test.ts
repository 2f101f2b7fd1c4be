import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { OidcProviders } from './providers.ts';

const server = await startTestServer();
const node = await startTestServer({ nodeOf: server });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await node.close();
  await server.close();
});
const { api } = await createCustomer(server);
const { services } = server.running;
const { providers } = services.oidc;
const recordOf = async (id: string) => (await services.keys.findIssuer(id))!;
const discover = async (path: string, at = server) => (await send(at.url + path)).body;

describe('the metadata', () => {
  test('are what the library would say of the same issuer', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    for (const settings of [{}, { device_flow: true, dpop: true }]) {
      succeeded(await api.patch(`${issuer.path}/oidc-settings`, settings));
      const ours = await discover(`/${issuer.id}/.well-known/openid-configuration`);
      const { callback } = await providers.of(await recordOf(issuer.id));
      const theirs = await answerOf(callback, issuer.id);
      // What is answered without the library, which says nothing of it.
      const {
        end_session_endpoint: _logout,
        introspection_endpoint: _introspection,
        revocation_endpoint: _revocation,
        introspection_endpoint_auth_methods_supported: _methods,
        revocation_endpoint_auth_methods_supported: _others,
        backchannel_logout_supported: _backchannel,
        backchannel_logout_session_supported: _session,
        request_parameter_supported: _request,
        id_token_signing_alg_values_supported: algorithms,
        ...rest
      } = ours;
      const { id_token_signing_alg_values_supported: signs, ...others } = theirs;
      expect(sorted(rest)).toEqual(sorted(others));
      // What an issuer can be told to sign with, not only what it signs with now.
      expect(algorithms).toEqual(expect.arrayContaining(signs as string[]));
    }
  });

  test('stand below the issuer and where RFC 8414 puts them, for anybody, with a tag', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const paths = [
      `/${issuer.id}/.well-known/openid-configuration`,
      `/${issuer.id}/.well-known/oauth-authorization-server`,
      `/.well-known/oauth-authorization-server/${issuer.id}`,
      `/.well-known/openid-configuration/${issuer.id}`,
    ];
    const answers = await Promise.all(paths.map((path) => send(server.url + path)));
    for (const { status, text, headers } of answers)
      expect([status, text, headers['access-control-allow-origin']]).toEqual([200, answers[0]!.text, '*']);
    const again = await send(server.url + paths[2]!, {
      headers: { 'If-None-Match': answers[0]!.headers.etag! },
    });
    expect(again.status).toBe(304);
    const unknown = newId(idPrefixes.issuer);
    for (const path of paths)
      expect((await send(server.url + path.replace(issuer.id, unknown))).status).toBe(404);
  });

  test('of a cold issuer need no library, however many there are', async () => {
    const before = providers.size;
    for (let count = scaled(20, 10_000); count > 0; count--) {
      const issuer = await TestIssuer.create(server, {}, {}, api);
      expect((await discover(`/${issuer.id}/.well-known/openid-configuration`)).issuer).toContain(issuer.id);
    }
    expect(providers.size).toBe(before);
  });

  test('tell of changed settings at once here, within a second elsewhere', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const path = `/${issuer.id}/.well-known/openid-configuration`;
    expect((await discover(path, node)).device_authorization_endpoint).toBeUndefined();
    succeeded(await api.patch(`${issuer.path}/oidc-settings`, { device_flow: true }));
    expect((await discover(path)).device_authorization_endpoint).toBeDefined();
    await within1s(async () => (await discover(path, node)).device_authorization_endpoint !== undefined);
  });
});

describe('the library of an issuer', () => {
  test('is made once for all who ask at the same time, and for no issuer that there is not', async () => {
    const issuer = await recordOf((await TestIssuer.create(server, {}, {}, api)).id);
    const made = await Promise.all(Array.from({ length: 20 }, async () => providers.of(issuer)));
    expect(new Set(made).size).toBe(1);
    expect(providers.of(issuer)).toBe(made[0]);
    const before = providers.size;
    for (let count = 0; count < 50; count++)
      expect((await send(`${server.url}/${newId(idPrefixes.issuer)}/authorize?client_id=x`)).status).toBe(
        404,
      );
    expect(providers.size).toBe(before);
  });

  test('are held up to a bound', async () => {
    const bounded = new OidcProviders(
      {
        ...services,
        lookupSlots: services.accountSlots,
        issuerSettings: { of: () => ({ login: {} as never, oidc: {} as never }) } as never,
        now: () => services.clock.now(),
      },
      3,
    );
    for (let count = 0; count < 6; count++)
      await bounded.of(await recordOf((await TestIssuer.create(server, {}, {}, api)).id));
    expect(bounded.size).toBe(3);
  });

  test('is made anew when the keys are: what is signed then verifies, and what was signed before still does', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const client = await OidcClient.create(server, issuer);
    const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
    const before = await providers.of(await recordOf(issuer.id));
    const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id });
    succeeded(await api.post(`${issuer.path}/signing-keys/rotate`, { algorithm: 'EdDSA' }));
    // As if the time that a new key is published for before it signs had passed.
    await rows.query(
      `update signing_keys set activates_at = now() - interval '1 second' where issuer_id = $1 and retires_at is null`,
      [issuer.id],
    );
    services.cache.forget({ kind: 'issuer', id: issuer.id });
    const after = await providers.of(await recordOf(issuer.id));
    expect(after).not.toBe(before);
    const again = await client.signIn(new OidcBrowser(server), { userId: user.id });
    const headerOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString());
    expect([headerOf(again.access_token).kid, headerOf(again.id_token!).kid]).toEqual([
      after.signer.id,
      after.signer.id,
    ]);
    for (const { access_token: token } of [tokens, again])
      expect((await client.userinfo(token)).status).toBe(200);
    expect(claimsOf(again.id_token!).aud).toBe(client.id);
  });
});

/** What the library answers at its own discovery route. */
async function answerOf(
  callback: (request: never, response: never) => Promise<void>,
  issuerId: string,
): Promise<Record<string, unknown>> {
  const { createServer } = await import('node:http');
  const bare = createServer((request, response) => {
    const path = '/.well-known/openid-configuration';
    request.url = path;
    Object.assign(request, { originalUrl: `/${issuerId}${path}` });
    Object.assign(request.headers, { 'x-forwarded-host': 'localhost:4600', 'x-forwarded-proto': 'http' });
    void callback(request as never, response as never);
  });
  await new Promise<void>((resolve) => bare.listen(0, '127.0.0.1', resolve));
  const { port } = bare.address() as { port: number };
  const { body } = await send(`http://127.0.0.1:${port}/`);
  bare.close();
  return body;
}

/** Lists as sets: their order says nothing. */
function sorted(document: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(document).map(([name, value]) => [name, Array.isArray(value) ? [...value].sort() : value]),
  );
}

async function within1s(holds: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + 1_000;
  while (!(await holds()))
    if (performance.now() > until) throw new Error('it did not come to hold within 1 s');
}
