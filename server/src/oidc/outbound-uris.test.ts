import { afterAll, describe, expect, test, vi } from 'vitest';
import { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { DnsServer } from '../../test/harness/dns-server.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { Canary, receiverAddress, receiverNetwork } from '../../test/harness/receiver.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

/*
 * The attack: whoever makes or registers a client names URLs that the server calls later, and names one that only the server
 * reaches. A canary listens on every address of this machine; none of them is allowed but one that stands for the internet.
 */

const [canary, dns] = await Promise.all([Canary.start(), DnsServer.start()]);
const server = await startTestServer({
  env: { GATELODGE_OUTBOUND_ALLOW: receiverNetwork },
  outbound: { dnsServers: [dns.address] },
});
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
  await Promise.all([canary, dns].map((part) => part[Symbol.asyncDispose]()));
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
succeeded(await api.patch(`${issuer.path}/oidc-settings`, { registration: 'open' }));
const nobody = new ApiClient(server.url, null);

const hosts = [
  ...['127.0.0.1', '127.1', '127.0.1', '2130706433', '0x7f000001', '0x7f.0.0.1', '0x7f.1', '0177.0.0.1'],
  ...['0177.1', '017700000001', '127.255.255.254', '0', '0.0.0.0', '0x0', '１２７.０.０.１', '①②⑦.⓪.⓪.①'],
  ...['%31%32%37.0.0.1', '127%2e0%2e0%2e1', '[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[::ffff:127.0.0.1]'],
  ...['[::ffff:7f00:1]', '[::127.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b:1::7f00:1]', '[2002:7f00:1::]'],
  ...['[2001:0:7f00:1::]', '10.0.0.1', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.0.1'],
  ...['100.64.0.1', '[fc00::1]', '[fd12:3456:789a::1]', '[fe80::1]', '[fec0::1]', '169.254.169.254'],
  ...['2852039166', '0xa9fea9fe', '0251.0376.0251.0376', '169.254.170.2', '[::ffff:169.254.169.254]'],
  ...['[64:ff9b::a9fe:a9fe]', '168.63.129.16', '100.100.100.200', '192.0.0.192', '[fd00:ec2::254]'],
  ...['198.18.0.1', '192.0.2.1', '224.0.0.1', '239.255.255.250', '240.0.0.1', '255.255.255.255'],
  ...['[ff02::1]', '[100::1]', '[2001:db8::1]', '[4000::1]'],
];
const urls = [
  ...hosts.map((host) => `https://${host}:${canary.port}/`),
  `http://127.0.0.1:${canary.port}/`,
  `http://169.254.169.254/latest/meta-data/`,
  `https://user:secret@127.0.0.1:${canary.port}/`,
  `https:\\\\127.0.0.1:${canary.port}/`,
  `https://127.0.0.1:${canary.port}\\@app.example/`,
  'file:///etc/passwd',
  'gopher://127.0.0.1/_GET',
  'https://app.example:22/',
];
/** What only a look-up tells. */
const names = new Map([
  ['loopback.test', ['127.0.0.1']],
  ['six.test', ['::1']],
  ['private.test', ['10.0.0.1']],
  ['metadata.test', ['169.254.169.254']],
  ['mapped.test', ['::ffff:7f00:1']],
  ['mixed.test', [receiverAddress, '127.0.0.1']],
]);
for (const [name, addresses] of names) dns.set(name, addresses);

test('a back channel inside is refused, whoever names it', async () => {
  expect(urls.length).toBeGreaterThanOrEqual(60);
  const client = await OidcClient.create(server, issuer);
  for (const uri of urls) {
    const openid = { redirect_uris: [redirectUri], backchannel_logout_uri: uri };
    const answers = [
      await api.post(`${issuer.path}/clients`, { name: 'Hostile', settings: { openid } }),
      await api.patch(`${issuer.path}/clients/${client.id}`, { settings: { openid } }),
      await nobody.post(`/${issuer.id}/register`, openid),
    ];
    expect([uri, answers.map(({ status }) => status)]).toEqual([uri, [422, 422, 400]]);
    expect(answers[0]!.body.errors[0].path).toBe('settings.openid.backchannel_logout_uri');
    expect(answers[2]!.body.error).toBe('invalid_client_metadata');
  }
  expect(canary.connections).toBe(0);
});

test('one that was let through once, or whose name leads inside, is not called', async () => {
  const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
  const browser = new OidcBrowser(server);
  const hostile = [
    ...[...names.keys()].map((name) => `https://${name}:${canary.port}/`),
    ...urls.slice(0, scaled(6, urls.length)),
  ];
  for (const uri of hostile) {
    const client = await OidcClient.create(server, issuer, {
      openid: { backchannel_logout_uri: 'https://app.example/logout' },
    });
    await client.signIn(browser, { userId: user.id });
    // As other settings of the server, or an older build, would have left it.
    await rows.query(
      `update clients set settings = jsonb_set(settings, '{openid,backchannel_logout_uri}', to_jsonb($2::text)) where id = $1`,
      [client.id, uri],
    );
    server.running.services.cache.forget({ kind: 'client', id: client.id });
  }
  succeeded(await api.post(`${issuer.path}/users/${user.id}/sessions/revoke`));
  await vi.waitFor(
    async () => {
      // Refused once, and waiting for the next try.
      const notices = await rows.query(
        `select id from logout_notices
          where issuer_id = $1 and (attempts > 1 or attempts = 1 and due_at < now() + interval '30 seconds')`,
        [issuer.id],
      );
      expect(notices).toHaveLength(hostile.length);
    },
    { timeout: 20_000, interval: 100 },
  );
  expect(canary.connections).toBe(0);
});

describe('what else could be fetched', () => {
  const inside = `https://127.0.0.1:${canary.port}/`;

  test('of a registration is nothing: no keys, no sector, no logo', async () => {
    const uris = ['jwks_uri', 'sector_identifier_uri', 'client_uri', 'logo_uri', 'policy_uri', 'tos_uri'];
    for (const host of ['127.0.0.1', 'loopback.test', '169.254.169.254', '[::1]'])
      for (const member of [...uris, 'initiate_login_uri', 'software_statement', 'request_uris']) {
        const uri = `https://${host}:${canary.port}/`;
        const { status, body } = await nobody.post(`/${issuer.id}/register`, {
          redirect_uris: [redirectUri],
          [member]: member === 'request_uris' ? [uri] : uri,
        });
        if (status === 201) expect(body[member]).toBeUndefined();
        else expect([member, status]).toEqual([member, 400]);
      }
    expect(canary.connections).toBe(0);
  });

  test('of an authorization request is nothing: no request object', async () => {
    const client = await OidcClient.create(server, issuer);
    const parameters = {
      client_id: client.id,
      redirect_uri: redirectUri,
      response_type: 'code',
      scope: 'openid',
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
    };
    const query = new URLSearchParams({ ...parameters, request_uri: inside });
    const answer = await nobody.get(`/${issuer.id}/authorize?${query.toString()}`);
    expect(answer.headers.get('Location') ?? '').not.toContain('/login/');
    expect((await client.post('/par', { ...parameters, request_uri: inside })).status).toBe(400);
    expect(canary.connections).toBe(0);
  });
});
