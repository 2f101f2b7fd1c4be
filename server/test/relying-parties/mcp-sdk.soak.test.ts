import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimsOf } from '../harness/oidc-client.ts';
import { succeeded } from '../harness/test-issuer.ts';
import { importSnippet, snippetOf } from './packages.ts';
import { PartyApp } from './party-app.ts';
import { PartyBrowser } from './party-browser.ts';
import { PartyWorld } from './world.ts';

interface Tokens {
  access_token: string;
  refresh_token?: string;
  scope?: string;
}

/** Of the SDK, and of the guide, as far as they are used here. */
interface Snippet {
  metadata: object;
  callerOf(request: Request): Promise<{ organizations: { name: string }[] } | null>;
  refusal(): Response;
  answer(request: Request, text: string): Promise<Response>;
  connect(url: string, provider: Provider): { connected: Promise<void>; finish(code: string): Promise<void> };
  whoami(url: string, provider: Provider): Promise<string>;
  auth(provider: Provider, options: { serverUrl: string }): Promise<'AUTHORIZED' | 'REDIRECT'>;
}

/** The SDK, at both ends: a server with one tool, and a client. */
const program = `
import { auth } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';

export { auth };

export async function answer(request, text) {
  const server = new McpServer({ name: 'Books', version: '1.0.0' });
  server.registerTool('whoami', {}, () => ({ content: [{ type: 'text', text }] }));
  const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
  await server.connect(transport);
  return transport.handleRequest(request);
}

const clientOf = () => new Client({ name: 'Agent', version: '1.0.0' });

export function connect(url, authProvider) {
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
  return { connected: clientOf().connect(transport), finish: (code) => transport.finishAuth(code) };
}

export async function whoami(url, authProvider) {
  const client = clientOf();
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { authProvider }));
  const { content } = await client.callTool({ name: 'whoami' });
  await client.close();
  return content[0].text;
}
`;

/** Keeps for a client of the SDK what it wants kept. */
class Provider {
  readonly redirectUrl = 'http://127.0.0.1:9/callback';
  readonly clientMetadata = {
    client_name: 'Agent',
    redirect_uris: [this.redirectUrl],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };
  sentTo: URL | undefined;
  kept: { client?: unknown; tokens?: Tokens | undefined; verifier?: string } = {};

  state() {
    return 'state-of-the-agent';
  }
  clientInformation() {
    return this.kept.client;
  }
  saveClientInformation(client: unknown) {
    this.kept.client = client;
  }
  tokens() {
    return this.kept.tokens;
  }
  saveTokens(tokens: Tokens) {
    this.kept.tokens = tokens;
  }
  codeVerifier() {
    return this.kept.verifier;
  }
  saveCodeVerifier(verifier: string) {
    this.kept.verifier = verifier;
  }
  redirectToAuthorization(url: URL) {
    this.sentTo = url;
  }
  invalidateCredentials() {
    this.kept.tokens = undefined;
  }
}

let world: PartyWorld;
let app: PartyApp;
let party: Snippet;
let resource: string;
const asked: string[] = [];
beforeAll(async () => {
  [world, app] = await Promise.all([PartyWorld.open(), PartyApp.start()]);
  resource = `${app.url}/mcp`;
  const settings = JSON.parse(await snippetOf('mcp settings', { 'https://mcp.example.com': app.url }));
  succeeded(await world.api.patch(`${world.issuer.path}/oidc-settings`, settings));
  const snippet = await snippetOf('mcp server', {
    'https://login.example.com/i_yourissuer': world.issuerUrl,
    'https://mcp.example.com': app.url,
  });
  party = await importSnippet<Snippet>(snippet + program);
  app.handler = async (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    if (pathname === '/.well-known/oauth-protected-resource/mcp') return Response.json(party.metadata);
    if (pathname !== '/mcp') return new Response(null, { status: 404 });
    const caller = await party.callerOf(request);
    if (caller === null) return party.refusal();
    return party.answer(request, caller.organizations.map(({ name }) => name).join());
  };
});
afterAll(async () => {
  await app?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

/** Signs a user in to an agent that knows nothing but the server's URL. */
async function signIn() {
  const user = await world.newUser();
  const provider = new Provider();
  const { connected, finish } = party.connect(resource, provider);
  await expect(connected).rejects.toThrow();
  const browser = new PartyBrowser(world.server);
  const consent = await browser.signIn(provider.sentTo!.href, user.address);
  expect(consent.text).toContain('tools:use');
  // Nobody listens at the agent's address: where the browser is sent is enough.
  const { url } = await browser.visitor.submit(consent.page!);
  expect(url.href.startsWith(`${provider.redirectUrl}?`)).toBe(true);
  expect(url.searchParams.get('state')).toBe('state-of-the-agent');
  await finish(url.searchParams.get('code')!);
  return { user, provider, tokens: provider.kept.tokens! };
}

describe('the MCP SDK', () => {
  test('finds the issuer by the server, registers, signs a user in and calls a tool for her', async () => {
    const { user, provider, tokens } = await signIn();
    expect(asked).toContain('/.well-known/oauth-protected-resource/mcp');
    expect(provider.sentTo?.searchParams.get('resource')).toBe(resource);
    expect(provider.sentTo?.searchParams.get('code_challenge_method')).toBe('S256');
    const claims = claimsOf(tokens.access_token);
    // What she may do in her organizations is nothing that she has let the agent have.
    expect(claims).toMatchObject({ sub: user.id, organizations: [{ ...world.membership, scopes: [] }] });
    expect(claims).toMatchObject({ iss: world.issuerUrl, aud: resource, scope: 'tools:use' });
    expect(await party.whoami(resource, provider)).toBe(world.membership.name);
  });

  test('refreshes for the same resource, each refresh token once', async () => {
    const { provider, tokens } = await signIn();
    expect(await party.auth(provider, { serverUrl: resource })).toBe('AUTHORIZED');
    const next = provider.kept.tokens!;
    expect(next.refresh_token).not.toBe(tokens.refresh_token);
    expect(claimsOf(next.access_token).aud).toBe(resource);
    expect(await party.whoami(resource, provider)).toBe(world.membership.name);
  });

  test('sends its user to the login again once her session has ended', async () => {
    const { provider, tokens } = await signIn();
    const { sid } = claimsOf(tokens.access_token);
    succeeded(await world.api.post(`${world.issuer.path}/sessions/${sid}/revoke`));
    provider.sentTo = undefined;
    expect(await party.auth(provider, { serverUrl: resource })).toBe('REDIRECT');
    expect(provider.sentTo).toBeDefined();
  });
});
