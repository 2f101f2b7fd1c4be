import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CodeSource, formDriver, type LoginDriver } from '../browser/login-driver.ts';
import type { SuiteConfig } from '../config.ts';
import { serve } from './front.ts';
import { interactionPath, LoginPages } from './login-pages.ts';
import type { Spoiled, Variation } from './mutant.ts';
import { makeOidcProvider } from './oidc-provider.ts';
import { clients, configurationOf, makeSigningKey, type SigningKey } from './provider-configuration.ts';

/** An oidc-provider that runs, as it is or varied, and what a run of the suite needs to know of it. */
export interface BareProvider extends AsyncDisposable {
  readonly config: SuiteConfig;
  readonly driver: LoginDriver;
  /** Reads the mails of those who sign in. */
  readonly codeFor: CodeSource;
}

/** One for every provider of a process, since RSA keys take long to find. */
let signingKey: Promise<SigningKey> | undefined;

/** Starts the provider on free ports of loopback: itself, and before it what the world sees, where it is varied. */
export async function startBareProvider(variation?: Variation): Promise<BareProvider> {
  signingKey ??= makeSigningKey();
  const key = await signingKey;
  await using starting = new AsyncDisposableStack();
  const outer = createServer();
  const issuer = `http://127.0.0.1:${await listen(outer, starting)}`;
  const configuration = configurationOf(key);
  variation?.configure?.(configuration);
  const provider = await makeOidcProvider(issuer, configuration);
  const spoiled: Spoiled = {
    provider,
    issuer,
    clients,
    signingKey: key.privateKey,
    memory: new Map(),
  };
  variation?.patch?.(spoiled);
  const pages = new LoginPages(provider);
  const callback = provider.callback();
  const inner = createServer((request, response) => {
    if (!request.url!.startsWith(interactionPath)) return callback(request, response);
    pages.handle(request, response).catch((error: unknown) => response.writeHead(400).end(String(error)));
  });
  const port = await listen(inner, starting);
  outer.on('request', (request, response) => {
    const failed = (error: unknown) => response.writeHead(500).end(String(error));
    serve(request, response, { port, spoiled, variation }).catch(failed);
  });
  const started = starting.move();
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
    codeFor: pages.codeFor,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** Gives the port. */
async function listen(server: Server, cleanup: AsyncDisposableStack): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  cleanup.defer(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}
