import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import { plainPageHeaders } from '../http/plain-page.ts';
import { defineContract } from '../http/route.ts';
import { renderErrorPage } from './error-page.ts';

export const errorPageContract = defineContract({
  method: 'GET',
  path: '/docs/errors/{error_code}',
  operationId: 'errors.show',
  summary: 'What an error code means',
  description: 'Where the `type` of a problem leads.',
  security: 'none',
  params: z.object({ error_code: z.string().describe('The `code` of a problem.') }),
  responses: { 200: { description: 'A page for people.', contentType: 'text/html' } },
});

/** Registers the page of each error code, for anybody: it tells what the tables of errors say. */
export function registerErrorPages(app: FastifyInstance): void {
  app.get('/docs/errors/:error_code', (request, reply) => {
    const page = renderErrorPage((request.params as { error_code: string }).error_code);
    if (page === null) throw new AppError('not_found');
    return reply.headers({ ...plainPageHeaders, 'Cache-Control': 'public, max-age=3600' }).send(page);
  });
}
