import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { requireBindable, requireCallable, resolveClient, toClientResource } from './client.ts';
import { clientsParams, createClientBody, createdClientResource } from './client-schema.ts';
import { insertClient, insertClientSecret } from './client-store.ts';

export const createClient = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/clients',
  operationId: 'clients.create',
  summary: 'Create a client',
  description:
    'Its id is the `client_id`. The secret of a confidential client is on this answer only (and on its replay under the same Idempotency-Key).',
  permission: 'gatelodge.clients:write',
  creates: true,
  params: clientsParams,
  body: createClientBody,
  responses: {
    201: { description: 'The client and its secret.', schema: z.object({ data: createdClientResource }) },
  },
  async handler({ services, tx, principal, params, body, now, record }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const { confidential, settings } = resolveClient(body);
    requireCallable({ confidential, settings }, services.outbound);
    await requireBindable(tx, issuer, { confidential, settings });
    const row = await insertClient(tx, {
      accountId: principal.accountId,
      issuerId: issuer.id,
      name: body.name,
      type: body.type,
      confidential,
      settings,
      metadata: body.metadata,
    });
    const made = confidential ? await insertClientSecret(tx, services.secrets, row, now) : null;
    await record({
      type: 'client.created',
      subject: { type: 'client', id: row.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      data: {
        name: row.name,
        type: row.type,
        confidential,
        application_type: settings.openid.application_type,
      },
    });
    return {
      status: 201,
      body: {
        data: {
          ...toClientResource(row, made === null ? [] : [made.row], now),
          secret: made?.secret ?? null,
        },
      },
      version: row.version,
      headers: { Location: `/v1/issuers/${issuer.id}/clients/${row.id}` },
    };
  },
});
