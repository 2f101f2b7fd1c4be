import { z } from 'zod';
import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { toIssuerResource } from './issuer.ts';
import { issuerParams, issuerResource } from './issuer-schema.ts';
import { lockIssuer, requireIssuer } from './issuer-store.ts';
import { ensureSandboxTwin } from './sandbox-twin.ts';

export const createSandboxIssuer = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/sandbox-issuer',
  operationId: 'issuers.createSandbox',
  summary: 'Make the sandbox twin of a live issuer',
  description: 'A live issuer has at most one twin; asking again answers the one there is.',
  permission: 'gatelodge.issuers:write',
  creates: true,
  params: issuerParams,
  responses: {
    200: { description: 'The twin that was there already.', schema: z.object({ data: issuerResource }) },
    201: { description: 'The new twin.', schema: z.object({ data: issuerResource }) },
  },
  errors: ['conflict'],
  async handler({ services, tx, principal, params, now, record }) {
    // The lock makes the second of two callers wait and then find the first one's twin.
    const live = await lockIssuer(tx, principal, params.issuer_id, undefined);
    if (live.environment !== 'live') {
      throw new AppError('conflict', { detail: 'A sandbox issuer has no twin; only a live issuer has.' });
    }
    const { id, isNew } = await ensureSandboxTwin(tx, services.secrets, live, { now, record });
    const row = await requireIssuer(tx, principal, id);
    return {
      status: isNew ? 201 : 200,
      body: { data: toIssuerResource(row) },
      version: row.version,
      ...(isNew && { headers: { Location: `/v1/issuers/${id}` } }),
    };
  },
});
