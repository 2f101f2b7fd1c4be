import { createServer, type IncomingMessage, request as requestHttp, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK } from 'jose';
import type { LoginDriver } from '../browser/login-driver.ts';
import { formDriver } from '../browser/login-driver.ts';
import type { ClientConfig, SuiteConfig } from '../config.ts';
import { claimsByScope, claimsOf } from './accounts.ts';
import { acr, interactionPath, LoginPages } from './login-pages.ts';
import type { Mutant, Spoiled } from './mutant.ts';
import { makeOidcProvider, type OidcConfiguration } from './oidc-provider.ts';
import { readForm, type WireAnswer, type WireRequest } from './wire.ts';

/** An oidc-provider that runs, alone or spoiled by a mutant, and what a run of the suite needs to know of it. */
export interface BareProvider extends AsyncDisposable {
  readonly config: SuiteConfig;
  readonly driver: LoginDriver;
}

const relyingParty = 'https://rp.example';

const clients: readonly [ClientConfig, ClientConfig] = [
  {
    clientId: 'first',
    clientSecret: 'a-secret-of-the-first-client-only',
    authMethod: 'client_secret_basic',
    redirectUri: `${relyingParty}/callback`,
    postLogoutRedirectUri: `${relyingParty}/goodbye`,
  },
  {
    clientId: 'second',
    clientSecret: 'a-secret-of-the-second-client-only',
    authMethod: 'client_secret_post',
    redirectUri: `${relyingParty}/second/callback`,
    postLogoutRedirectUri: `${relyingParty}/second/goodbye`,
  },
];

/** RSA keys take long to find; one does for every provider of a process. */
let signingKey: Promise<{ privateKey: CryptoKey; publicKey: JWK; jwk: JWK }> | undefined;

/** Starts the provider on a free port of loopback, with the mutant between it and the world. */
export async function startBareProvider(mutant?: Mutant): Promise<BareProvider> {
  signingKey ??= makeSigningKey();
  const { privateKey, publicKey, jwk } = await signingKey;
  await using stack = new AsyncDisposableStack();
  const front = createServer();
  stack.use(await listen(front));
  const issuer = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
  const configuration = configurationOf(jwk);
  mutant?.configure?.(configuration);
  const provider = await makeOidcProvider(issuer, configuration);
  const memory = new Map<string, string>();
  const spoiled: Spoiled = { provider, issuer, clients, signingKey: privateKey, publicKey, memory };
  mutant?.patch?.(spoiled);
  const pages = new LoginPages(provider);
  const callback = provider.callback();
  const inner = createServer((request, response) => {
    if (!request.url!.startsWith(interactionPath)) return callback(request, response);
    pages.handle(request, response).catch((error: unknown) => {
      response.writeHead(400, { 'content-type': 'text/html' }).end(String(error));
    });
  });
  stack.use(await listen(inner));
  const { port } = inner.address() as AddressInfo;
  front.on('request', (request: IncomingMessage, response) => {
    answerTo(request, { issuer, port, mutant, spoiled }).then(
      ({ status, headers, cookies, body }) => {
        response.writeHead(status, {
          ...headers,
          ...(cookies.length > 0 ? { 'set-cookie': [...cookies] } : {}),
        });
        response.end(body);
      },
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  const running = stack.move();
  return {
    config: {
      issuer,
      client: clients[0],
      secondClient: clients[1],
      address: 'visitor-{n}@example.com',
      codeReuseSeconds: 0.1,
      extraIdTokenClaims: [],
    },
    driver: formDriver(pages.codeFor),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function makeSigningKey() {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
  const named = { kid: 'calibration', use: 'sig', alg: 'RS256' };
  return {
    privateKey,
    publicKey: { ...(await exportJWK(publicKey)), ...named },
    jwk: { ...(await exportJWK(privateKey)), ...named },
  };
}

function configurationOf(jwk: JWK): OidcConfiguration {
  return {
    clients: clients.map((client) => ({
      client_id: client.clientId,
      client_secret: client.clientSecret,
      token_endpoint_auth_method: client.authMethod,
      redirect_uris: [client.redirectUri],
      post_logout_redirect_uris: [client.postLogoutRedirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    })),
    jwks: { keys: [jwk] },
    cookies: { keys: ['calibration'], long: { sameSite: 'none' } },
    acrValues: [acr],
    claims: claimsByScope,
    responseTypes: ['code'],
    // Whoever is refreshed twice lost the token; by default it rotates for public clients alone.
    rotateRefreshToken: true,
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `${interactionPath}${uid}` },
    // Core §3.1.2.1 wants POST; by default there is none, since a form of another site then needs SameSite=None.
    enableHttpPostMethods: true,
    features: {
      devInteractions: { enabled: false },
      claimsParameter: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    findAccount: (_context: unknown, accountId: string) => ({ accountId, claims: () => claimsOf(accountId) }),
    ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, RefreshToken: 3_600, Session: 3_600 },
  };
}

interface Wiring {
  readonly issuer: string;
  readonly port: number;
  readonly mutant: Mutant | undefined;
  readonly spoiled: Spoiled;
}

async function answerTo(incoming: IncomingMessage, wiring: Wiring): Promise<WireAnswer> {
  const { mutant, spoiled } = wiring;
  const isForm = (incoming.headers['content-type'] ?? '').includes('form-urlencoded');
  const form = await readForm(incoming);
  const request: WireRequest = {
    method: incoming.method!,
    url: new URL(incoming.url!, wiring.issuer),
    headers: Object.fromEntries(
      Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
    ),
    form: isForm ? form : undefined,
  };
  const instead = await mutant?.request?.(request, spoiled);
  const answer = instead ?? (await forward(request, wiring.port));
  await mutant?.answer?.(answer, request, spoiled);
  delete answer.headers['content-length'];
  return answer;
}

/** Sends a request on, under the name by which it came. */
function forward({ method, url, headers, form }: WireRequest, port: number): Promise<WireAnswer> {
  const body = form?.toString();
  const sent = { ...headers };
  delete sent.connection;
  delete sent['content-length'];
  if (body !== undefined) sent['content-length'] = String(Buffer.byteLength(body));
  return new Promise((resolve, reject) => {
    const path = `${url.pathname}${url.search}`;
    const request = requestHttp({ host: '127.0.0.1', port, method, path, headers: sent }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const {
          'set-cookie': cookies = [],
          'transfer-encoding': _,
          connection: __,
          ...rest
        } = response.headers;
        const fields = Object.entries(rest).map(([name, value]) => [name, String(value)]);
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode!, headers: Object.fromEntries(fields), cookies, body: text });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function listen(server: Server): Promise<AsyncDisposable> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
