import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';
import { mailedCodeAcr } from './acr.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const { id: userId } = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const client = await OidcClient.create(server, issuer);

const claims = (acr: unknown) => ({ claims: JSON.stringify({ id_token: { acr } }) });

describe('acr', () => {
  test('is told where the client asks for any, and at its refreshes', async () => {
    const asking = { acr_values: `urn:example:other ${mailedCodeAcr}` };
    const tokens = await client.signIn(new OidcBrowser(server), { userId }, asking);
    expect(claimsOf(tokens.id_token!).acr).toBe(mailedCodeAcr);
    const { body } = await client.refresh(tokens.refresh_token!);
    expect(claimsOf(body.id_token).acr).toBe(mailedCodeAcr);
    const plain = await client.signIn(new OidcBrowser(server), { userId });
    expect(claimsOf(plain.id_token!)).not.toHaveProperty('acr');
  });

  test('is how the user did sign in, whatever the client would have liked', async () => {
    const tokens = await client.signIn(
      new OidcBrowser(server),
      { userId },
      { acr_values: 'urn:example:other' },
    );
    expect(claimsOf(tokens.id_token!).acr).toBe(mailedCodeAcr);
  });

  test('that the client can’t do without asks nobody who has it already', async () => {
    const browser = new OidcBrowser(server);
    await client.signIn(browser, { userId });
    for (const acr of [
      { essential: true, value: mailedCodeAcr },
      { essential: true, values: ['urn:example:other', mailedCodeAcr] },
      { essential: true },
    ]) {
      const tokens = await client.signIn(browser, { userId }, { ...claims(acr), prompt: 'none' });
      expect(claimsOf(tokens.id_token!).acr).toBe(mailedCodeAcr);
    }
  });

  // It would be asked to sign in for ever.
  test('that nobody can have sends the user back at once', async () => {
    for (const acr of [
      { essential: true, value: 'urn:example:other' },
      { essential: true, values: ['urn:example:other'] },
      { essential: true, values: [] },
      { essential: true, value: 'urn:example:other', values: [mailedCodeAcr] },
    ]) {
      const steps: string[] = [];
      const { parameters } = await client.code(
        new OidcBrowser(server),
        { userId, onStep: ({ step }) => steps.push(step) },
        claims(acr),
      );
      expect([acr, parameters.get('error'), steps]).toEqual([acr, 'unmet_authentication_requirements', []]);
    }
    const odd = claims({ essential: true, values: mailedCodeAcr });
    const { parameters } = await client.code(new OidcBrowser(server), { userId }, odd);
    expect(parameters.get('error')).toBe('invalid_request');
  });
});
