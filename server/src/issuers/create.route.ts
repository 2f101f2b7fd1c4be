import { z } from 'zod';
import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { holdPlan } from '../plans/plan-store.ts';
import { insertIssuer } from './create-issuer.ts';
import { toIssuerResource } from './issuer.ts';
import { createIssuerBody, issuerResource } from './issuer-schema.ts';
import { requireIssuer } from './issuer-store.ts';

export const createIssuer = defineRoute({
  method: 'POST',
  path: '/v1/issuers',
  operationId: 'issuers.create',
  summary: 'Create an issuer',
  description: 'An issuer starts with the standard key profile. Its environment is fixed for its life.',
  permission: 'gatelodge.issuers:write',
  creates: true,
  body: createIssuerBody,
  responses: { 201: { description: 'The issuer.', schema: z.object({ data: issuerResource }) } },
  errors: ['wrong_environment'],
  async handler({ services, tx, principal, body, now, record }) {
    const environment = body.environment ?? principal.environment;
    if (principal.environment === 'sandbox' && environment === 'live')
      throw new AppError('wrong_environment');
    await holdPlan(tx, principal.accountId, body.plan);
    const id = await insertIssuer(
      tx,
      services.secrets,
      {
        accountId: principal.accountId,
        name: body.name,
        environment,
        publishableScopes: body.publishable_scopes,
        plan: body.plan,
      },
      now,
    );
    await record({
      type: 'issuer.created',
      subject: { type: 'issuer', id },
      environment,
      issuerId: id,
      data: { name: body.name },
    });
    const row = await requireIssuer(tx, principal, id);
    return {
      status: 201,
      body: { data: toIssuerResource(row) },
      version: row.version,
      headers: { Location: `/v1/issuers/${id}` },
    };
  },
});
