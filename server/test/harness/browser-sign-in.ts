import type { ApiClient } from './api-client.ts';
import { OidcBrowser } from './oidc-browser.ts';
import { OidcClient, type Tokens } from './oidc-client.ts';
import type { TestServer } from './server.ts';
import { succeeded, TestIssuer } from './test-issuer.ts';

/**
 * Leaves something in every table of the OIDC runtime: a user has allowed an external client something, is signed in to it,
 * and has been signed out of it once before, of which the client is still to be told.
 */
export async function signInByBrowser(
  server: TestServer,
  api: ApiClient,
  { issuerId, userId, name }: { issuerId: string; userId: string; name: string },
): Promise<{ client: OidcClient; tokens: Tokens }> {
  const issuer = new TestIssuer(server.url, api, issuerId);
  const client = await OidcClient.create(server, issuer, {
    name,
    type: 'external',
    // Nobody answers there.
    openid: { backchannel_logout_uri: 'https://logout.invalid/' },
  });
  const before = await client.signIn(new OidcBrowser(server), { userId });
  const { sid } = JSON.parse(Buffer.from(before.access_token.split('.')[1]!, 'base64url').toString());
  succeeded(await api.post(`${issuer.path}/sessions/${sid}/revoke`));
  return { client, tokens: await client.signIn(new OidcBrowser(server), { userId }) };
}
