import type { ApiAnswer } from '../harness/api-client.ts';
import type { Needles } from '../harness/needles.ts';
import { OidcBrowser } from '../harness/oidc-browser.ts';
import { OidcClient } from '../harness/oidc-client.ts';
import type { TestServer } from '../harness/server.ts';
import type { Tenant } from '../harness/tenant.ts';
import { TestIssuer } from '../harness/test-issuer.ts';

/**
 * Carries an operation of the OIDC runtime out, by a client and a browser of its own, with all the secrets that come up on
 * the way remembered as such.
 *
 * @returns what it answered; null for what only a browser that was shown a page can do
 */
export async function carryOutOidc(
  server: TestServer,
  tenant: Tenant,
  operationId: string,
  needles: Needles,
): Promise<ApiAnswer | null> {
  const { issuer } = tenant;
  const client = await OidcClient.create(server, new TestIssuer(server.url, tenant.api, issuer.id), {
    name: operationId,
    openid: { post_logout_redirect_uris: ['https://app.example/bye'] },
  });
  needles.addSecret(`the client secret of ${operationId}`, client.secret!);
  const browser = new OidcBrowser(server);
  const code = await client.code(browser, { userId: issuer.userId });
  needles.addSecret(`the code of ${operationId}`, code.code);
  const { body: tokens } = await client.redeem(code);
  for (const kind of ['access_token', 'refresh_token', 'id_token'])
    needles.addSecret(`the ${kind} of ${operationId}`, tokens[kind]);
  for (const [name, { value }] of browser.cookies) needles.addSecret(`the cookie ${name}`, value);
  const hint = { id_token_hint: tokens.id_token, post_logout_redirect_uri: 'https://app.example/bye' };
  const operations: Record<string, () => Promise<ApiAnswer>> = {
    'oidc.token': () => client.refresh(tokens.refresh_token),
    'oidc.pushAuthorization': () =>
      client.post('/par', {
        client_id: client.id,
        response_type: 'code',
        redirect_uri: 'https://app.example/callback',
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
        scope: 'openid',
      }),
    'oidc.userinfo': () => client.userinfo(tokens.access_token),
    'oidc.introspect': () => client.post('/introspect', { token: tokens.access_token }),
    'oidc.revoke': () => client.post('/revoke', { token: tokens.refresh_token }),
    'oidc.keyinfo': () => client.post('/keyinfo', { key: issuer.key.secret }),
    'oidc.logout': () => browser.request(`/${issuer.id}/logout?${new URLSearchParams(hint).toString()}`),
  };
  const answer = (await operations[operationId]?.()) ?? null;
  const next = answer?.body as { refresh_token?: string; access_token?: string } | null;
  for (const secret of [next?.refresh_token, next?.access_token])
    if (secret !== undefined) needles.addSecret(`the next of ${operationId}`, secret);
  return answer;
}
