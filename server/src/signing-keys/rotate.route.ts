import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { lockIssuer } from '../issuers/issuer-store.ts';
import { rotateSigningKey } from './rotate-signing-key.ts';
import { leadSeconds } from './signing-key.ts';
import { toSigningKeyResource } from './signing-key-resource.ts';
import { rotateSigningKeyBody, signingKeyResource } from './signing-key-schema.ts';

export const rotateSigningKeyRoute = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/signing-keys/rotate',
  operationId: 'signingKeys.rotate',
  summary: 'Replace the signing key of an issuer',
  description:
    'The new key is published at once and signs from its `activates_at` on, when nobody holds an older key set any more. The key before it stays published until the last token that it has signed has ended. While a new key waits for its time, asking again answers that one.',
  permission: 'gatelodge.signing-keys:write',
  creates: true,
  params: issuerParams,
  body: rotateSigningKeyBody,
  responses: {
    200: {
      description: 'The new key that was there already.',
      schema: z.object({ data: signingKeyResource }),
    },
    201: { description: 'The new key.', schema: z.object({ data: signingKeyResource }) },
  },
  errors: ['conflict'],
  async handler({ services, tx, principal, params, body, now, record, afterCommit }) {
    // The lock makes the second of two callers wait and then find the first one's key.
    const issuer = await lockIssuer(tx, principal, params.issuer_id, undefined);
    const { secrets, settings } = services;
    const { key, isNew } = await rotateSigningKey(
      tx,
      { accountId: principal.accountId, issuerId: issuer.id, environment: issuer.environment },
      { secrets, leadSeconds: leadSeconds(settings), algorithm: body.algorithm, now, record },
    );
    afterCommit(() => services.cache.forget({ kind: 'issuer', id: issuer.id }));
    return {
      status: isNew ? 201 : 200,
      body: { data: toSigningKeyResource(key, secrets, now) },
      version: key.version,
      ...(isNew && { headers: { Location: `/v1/issuers/${issuer.id}/signing-keys/${key.id}` } }),
    };
  },
});
