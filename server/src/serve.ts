import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { routes } from './app.ts';
import { ensureBootstrap } from './bootstrap/bootstrap.ts';
import { greet } from './bootstrap/greeting.ts';
import { createConnectHandler } from './edge/connect.ts';
import { Drain } from './edge/drain.ts';
import { Edge } from './edge/edge.ts';
import { openFastLane } from './edge/fast-lane.ts';
import { PreflightEndpoint } from './edge/preflight.ts';
import { RequestInfoReader } from './edge/request-info.ts';
import { readTls } from './edge/tls.ts';
import { registerErrorPages } from './error-pages/error-pages.routes.ts';
import { registerHealthRoutes } from './health/health.routes.ts';
import { registerHomePage } from './home/home.routes.ts';
import { createApp } from './http/app.ts';
import { createLog, type Log } from './logs/log.ts';
import { registerDevMailboxRoutes } from './mail/dev-mailbox.routes.ts';
import { registerOpenApiRoute } from './openapi/openapi.routes.ts';
import { resolveMasterKey } from './secrets/master-key.ts';
import { resolveMetricsToken } from './secrets/metrics-token.ts';
import { type Clock, createServices, type ServiceOptions, type Services } from './services.ts';
import type { Settings } from './settings.ts';
import { asListenError } from './supervisor/port-probe.ts';
import { StartError } from './supervisor/start-error.ts';

/** A server that accepts requests. */
export interface RunningServer {
  readonly services: Services;
  /** Where it listens; the port is the real one, also where the settings said 0. */
  readonly url: string;
  /**
   * Stops accepting, lets every request that is under way finish, and ends.
   *
   * @param options.lingerMs how long a connection that carries no request stays open for one on its way; 1000 by default
   */
  close(options?: { lingerMs?: number }): Promise<void>;
}

export interface ServeOptions {
  demo: boolean;
  /** Takes the lines that a developer sees; stdout unless given. */
  announce?: (text: string) => void;
  /** For tests. */
  clock?: Clock;
  log?: Log;
  onQuery?: (sql: string) => void;
  outbound?: ServiceOptions['outbound'];
}

const maxHeaderBytes = 16 * 1024;
/** A Postgres that hangs does not answer a goodbye either, and nothing is lost by leaving without one. */
const goodbyeMs = 1_500;

/**
 * Runs the server on a migrated database: services, first start, then the port.
 *
 * @throws StartError (or what the settings and secrets throw) when something that the operator can mend is in the way
 */
export async function serve(settings: Settings, options: ServeOptions): Promise<RunningServer> {
  const log = options.log ?? createLog(settings.logLevel);
  for (const variable of settings.unknownVariables)
    log.warn({ variables: [variable] }, 'Unknown setting; is it misspelt?');
  if (settings.databaseUrl === undefined) {
    throw new StartError('serve needs DATABASE_URL.', {
      hint: 'Use gatelodge start, which brings its own Postgres.',
    });
  }
  const services = await createServices(settings, {
    databaseUrl: settings.databaseUrl,
    masterKey: await resolveMasterKey(settings),
    metricsToken: await resolveMetricsToken(settings),
    log,
    ...(options.clock && { clock: options.clock }),
    ...(options.onQuery && { onQuery: options.onQuery }),
    ...(options.outbound && { outbound: options.outbound }),
  });
  try {
    const bootstrap = await ensureBootstrap(services, { demo: options.demo });
    const { server, drain } = await listen(services);
    const url = urlOf(server, settings);
    log.info({ host: settings.host, port: settings.port }, 'Listening');
    warnOfPlainHttp(settings, log);
    const announce = options.announce ?? ((text) => process.stdout.write(text));
    if (settings.mode === 'development') announce(greet(settings, bootstrap, options));
    return { services, url, close: (how) => stop(drain, services, how) };
  } catch (error) {
    await services.close();
    throw error;
  }
}

async function listen(services: Services): Promise<{ server: Server; drain: Drain }> {
  const { settings, log } = services;
  const tls = await readTls(settings);
  let listening: { server: Server; drain: Drain } | undefined;
  const requestInfo = new RequestInfoReader(settings.trustedProxies);
  const app = createApp(services, routes, (fastify) => {
    const edge = new Edge(
      {
        requestInfo,
        ...services.endpoints,
        preflight: new PreflightEndpoint(services.keys),
        docsBaseUrl: settings.publicUrl,
        onError: (error, info) => log.error({ err: error, request_id: info.id }, 'request failed'),
      },
      fastify,
    );
    const server =
      tls === null
        ? createHttpServer(serverOptions, edge.listener)
        : createHttpsServer({ ...serverOptions, ...tls }, edge.listener);
    // Bounded by their bytes alone: Node would drop those past the 2,000th without a word, which may be the ones that
    // a proxy in front of us has put at the end.
    server.maxHeadersCount = 0;
    // What a request expects beside 100-continue is passed over (RFC 9110 §10.1.1); Node would answer it itself.
    server.on('checkExpectation', (request, response) => server.emit('request', request, response));
    server.on('connect', createConnectHandler(requestInfo, settings.publicUrl));
    const drain = new Drain(server);
    openFastLane(server, {
      answer: (request, headers) => edge.answerWhole(request, headers),
      isStopping: () => drain.isStopping,
      keepAliveMs: serverOptions.keepAliveTimeout,
      onError: (error) => log.error({ err: error }, 'an answer could not be written'),
    });
    listening = { server, drain };
    return server;
  });
  if (listening === undefined) throw new Error('Fastify made no server');
  registerHealthRoutes(app, services, listening.drain);
  registerOpenApiRoute(app, routes);
  registerHomePage(app, { hasDevMailbox: services.devMailbox !== null });
  registerErrorPages(app);
  registerDevMailboxRoutes(app, services, services.devMailbox);
  await app.ready();
  await listenOn(listening.server, settings);
  return listening;
}

const serverOptions = {
  maxHeaderSize: maxHeaderBytes,
  // A second Authorization header would otherwise be dropped without a word; joined, it is ambiguous.
  joinDuplicateHeaders: true,
  // The edge refuses a request without one, in the same form as any other.
  requireHostHeader: false,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 2_000,
  // Nagle's algorithm would hold small answers back.
  noDelay: true,
};

function listenOn(server: Server, settings: Settings): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(asListenError(error, settings.host, settings.port)));
    server.listen(settings.port, settings.host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

/** Else an operator who opens the host to the network wonders why everything is refused from there. */
function warnOfPlainHttp(settings: Settings, log: Log): void {
  const isLoopback = /^(127\.|::1$|localhost$)/.test(settings.host);
  if (isLoopback || settings.tlsCert !== undefined || settings.trustedProxies.length > 0) return;
  log.warn(
    { host: settings.host },
    'Plain HTTP from other machines is refused: set GATELODGE_TLS_CERT and GATELODGE_TLS_KEY, or GATELODGE_TRUSTED_PROXIES',
  );
}

function urlOf(server: Server, settings: Settings): string {
  const { port } = server.address() as AddressInfo;
  const host = settings.host.includes(':') ? `[${settings.host}]` : settings.host;
  return `${settings.tlsCert === undefined ? 'http' : 'https'}://${host}:${port}`;
}

async function stop(drain: Drain, services: Services, how: { lingerMs?: number } = {}): Promise<void> {
  const count = await drain.run(how);
  if (count > 0) services.log.warn({ count }, 'Cut off connections that did not end by themselves');
  const isClosed = services.close().then(() => true);
  // Also where it fails only after we have stopped waiting for it.
  isClosed.catch(() => {});
  if (!(await Promise.race([isClosed, sleep(goodbyeMs, false, { ref: false })])))
    services.log.warn({}, 'Postgres does not say goodbye; left its connections to it');
  services.log.info('Stopped');
}
