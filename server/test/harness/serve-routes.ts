import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RequestInfoReader } from '../../src/edge/request-info.ts';
import { createApp } from '../../src/http/app.ts';
import type { Route } from '../../src/http/route.ts';
import type { Services } from '../../src/services.ts';

/** Serves routes of a test's own with the services of a running server, for what no real route may do. */
export async function serveRoutes(
  services: Services,
  routes: readonly Route[],
): Promise<{ url: string; close(): Promise<void> }> {
  const edge = new RequestInfoReader([]);
  const server = createServer();
  const app = createApp(services, routes, (listener) => {
    server.on('request', (request, response) => {
      edge.read(request);
      listener(request, response);
    });
    return server;
  });
  await app.ready();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await app.close();
    },
  };
}
