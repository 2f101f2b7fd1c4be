import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { defineContract, type Route } from '../http/route.ts';
import { createOpenApiDocument } from './document.ts';

export const openApiContract = defineContract({
  method: 'GET',
  path: '/openapi.json',
  operationId: 'openapi.get',
  summary: 'This document',
  security: 'none',
  responses: {
    200: {
      description: 'The OpenAPI 3.1 document of this server.',
      schema: z.looseObject({ openapi: z.string() }),
    },
  },
});

/** Serves the document of these routes, made once, on first use. */
export function registerOpenApiRoute(app: FastifyInstance, routes: readonly Route[]): void {
  let document: string | undefined;
  app.get('/openapi.json', (_request, reply) => {
    document ??= JSON.stringify(createOpenApiDocument(routes));
    return reply
      .headers({ 'Content-Type': 'application/json; charset=utf-8', 'Access-Control-Allow-Origin': '*' })
      .send(document);
  });
}
