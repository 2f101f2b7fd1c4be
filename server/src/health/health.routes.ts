import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import { defineContract } from '../http/route.ts';
import type { Services } from '../services.ts';

const healthBody = z.object({ status: z.literal('ok') });
const readyBody = z.object({
  status: z.enum(['ready', 'not_ready']),
  checks: z.object({
    database: z.enum(['ok', 'unreachable']),
    migrations: z
      .literal('ok')
      .describe('A node does not start before the database has run every migration of its build.'),
    freshness: z.enum(['fresh', 'read-through', 'stale', 'unavailable']),
    ledger: z
      .enum(['ok', 'refusing'])
      .describe('`refusing`: decisions can’t be put on record, so keys are answered 503.'),
    ledger_findings: z
      .number()
      .int()
      .describe(
        'How much is wrong with the ledger’s files that somebody has to look at (`gatelodge ledger check`); the node serves all the same.',
      ),
    stopping: z.boolean(),
  }),
});

export const healthContracts = [
  defineContract({
    method: 'GET',
    path: '/healthz',
    operationId: 'health.live',
    summary: 'Whether the process lives',
    security: 'none',
    responses: { 200: { description: 'It lives.', schema: healthBody } },
  }),
  defineContract({
    method: 'GET',
    path: '/readyz',
    operationId: 'health.ready',
    summary: 'Whether the node can serve every request',
    description:
      'A node that is stopping, can’t reach Postgres or can’t write its ledger is not ready; without Postgres it may still verify the keys it holds.',
    security: 'none',
    responses: {
      200: { description: 'Ready.', schema: readyBody },
      503: { description: 'Not ready, and why.', schema: readyBody },
    },
  }),
  defineContract({
    method: 'GET',
    path: '/metrics',
    operationId: 'health.metrics',
    summary: 'Figures for Prometheus',
    description: 'With the metrics token as a bearer token; without one configured the route does not exist.',
    security: 'metrics-token',
    responses: { 200: { description: 'Prometheus text format.', contentType: 'text/plain' } },
    errors: ['missing_key', 'invalid_key', 'route_not_found'],
  }),
];

/** Registers the routes that tell how the node is. */
export function registerHealthRoutes(
  app: FastifyInstance,
  services: Services,
  state: { isStopping: boolean },
): void {
  app.get('/healthz', () => ({ status: 'ok' }));

  app.get('/readyz', async (_request, reply) => {
    const { freshness, findings } = services;
    const database = (await freshness.reachesPostgres()) ? 'ok' : 'unreachable';
    const ledger = services.ledger.state.kind === 'refusing' ? 'refusing' : 'ok';
    const isReady = database === 'ok' && ledger === 'ok' && !state.isStopping;
    return reply
      .code(isReady ? 200 : 503)
      .header('Cache-Control', 'no-store')
      .send({
        status: isReady ? 'ready' : 'not_ready',
        checks: {
          database,
          migrations: 'ok',
          freshness: freshness.mode,
          ledger,
          ledger_findings: findings.count,
          stopping: state.isStopping,
        },
      });
  });

  app.get('/metrics', async (request, reply) => {
    const { metricsToken } = services;
    if (metricsToken === undefined) throw new AppError('route_not_found');
    const given = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (given === undefined)
      throw new AppError('missing_key', { detail: 'Send the metrics token as a bearer token.' });
    if (!isSame(given, metricsToken))
      throw new AppError('invalid_key', { detail: 'That is not the metrics token.' });
    return reply.type(services.metrics.contentType).send(await services.metrics.render());
  });
}

/** Hashed first, so that the comparison takes the same time whatever the lengths. */
function isSame(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
