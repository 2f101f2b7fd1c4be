import { z } from 'zod';
import { AppError } from '../errors.ts';
import { requireMatch } from '../http/etag.ts';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { toClientResource } from './client.ts';
import { clientParams, rotateClientSecretBody, rotatedClientResource } from './client-schema.ts';
import { insertClientSecret, lockClient, retireClientSecrets, touchClient } from './client-store.ts';

export const rotateClientSecret = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/clients/{client_id}/rotate-secret',
  operationId: 'clients.rotateSecret',
  summary: 'Give a client a new secret',
  description:
    'The new secret is on this answer only (and on its replay under the same Idempotency-Key). The one before it works until the grace ends. Two work at the most: rotating again ends the older of them at once. Rotate with `"grace_seconds": 0` when a secret has leaked.',
  permission: 'gatelodge.clients:write',
  creates: true,
  params: clientParams,
  body: rotateClientSecretBody,
  responses: {
    201: { description: 'The client and its new secret.', schema: z.object({ data: rotatedClientResource }) },
  },
  errors: ['conflict'],
  async handler({ services, tx, principal, params, body, ifMatch, now, record, afterCommit }) {
    const current = await lockClient(tx, principal, params, undefined);
    if (!current.confidential)
      throw new AppError('conflict', {
        detail: 'A public client has no secret; create a confidential one instead.',
      });
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    // Only now: the version has moved when a rotation is sent again under its Idempotency-Key.
    requireMatch(ifMatch, current.version);
    const endsAt = new Date(now.getTime() + body.grace_seconds * 1000);
    const old = await retireClientSecrets(tx, current, { endsAt, now });
    const { row: made, secret } = await insertClientSecret(tx, services.secrets, current, now);
    const row = await touchClient(tx, current);
    await record({
      type: 'client.secret_rotated',
      subject: { type: 'client', id: row.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      data: {
        secret_id: made.id,
        hint: made.hint,
        grace_seconds: body.grace_seconds,
        ...(old && { retired_secret_id: old.id, retires_at: endsAt.toISOString() }),
      },
    });
    afterCommit(() => services.cache.forget({ kind: 'client', id: row.id }));
    return {
      status: 201,
      body: { data: { ...toClientResource(row, old ? [made, old] : [made], now), secret } },
      version: row.version,
      headers: { Location: `/v1/issuers/${issuer.id}/clients/${row.id}` },
    };
  },
});
