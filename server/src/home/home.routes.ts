import type { FastifyInstance } from 'fastify';
import { plainPageHeaders } from '../http/plain-page.ts';
import { defineContract } from '../http/route.ts';
import { renderHomePage } from './home-page.ts';

export const homeContract = defineContract({
  method: 'GET',
  path: '/',
  operationId: 'home.show',
  summary: 'That Gatelodge runs',
  description: 'For people who open the server in a browser.',
  security: 'none',
  responses: { 200: { description: 'A page for people.', contentType: 'text/html' } },
});

/** Registers the page at the root, for anybody. */
export function registerHomePage(app: FastifyInstance, { hasDevMailbox }: { hasDevMailbox: boolean }): void {
  const page = renderHomePage({ hasDevMailbox });
  // Neither the browser nor a proxy keeps it: the dashboard will be here.
  app.get('/', (_request, reply) =>
    reply.headers({ ...plainPageHeaders, 'Cache-Control': 'no-store' }).send(page),
  );
}
