import { z } from 'zod';
import { timestampField } from '../http/fields.ts';
import { signingAlgorithms, signingKeyStatuses } from './signing-key.ts';

const algorithm = z.enum(signingAlgorithms);

/** Body of `POST /v1/issuers/{issuer_id}/signing-keys/rotate`. */
export const rotateSigningKeyBody = z
  .strictObject({
    algorithm: algorithm.optional().describe('That of the key in use unless given.'),
  })
  .meta({ id: 'RotateSigningKeyRequest', examples: [{ algorithm: 'ES256' }] });

export const signingKeyParams = z.object({ issuer_id: z.string(), signing_key_id: z.string() });

const publicKey = z
  .object({
    kty: z.enum(['EC', 'OKP', 'RSA']),
    kid: z.string(),
    use: z.literal('sig'),
    alg: algorithm,
    crv: z.string().optional(),
    x: z.string().optional(),
    y: z.string().optional(),
    n: z.string().optional(),
    e: z.string().optional(),
  })
  .meta({ id: 'JsonWebKey', description: 'A public key (RFC 7517).' });

/** Answer of `GET /{issuer_id}/jwks.json`. */
export const jsonWebKeySet = z.object({ keys: z.array(publicKey) }).meta({
  id: 'JsonWebKeySet',
  description: 'The published keys of an issuer, the newest first (RFC 7517 §5).',
});

/** A signing key as it is answered; its private part never is. */
export const signingKeyResource = z
  .object({
    id: z.string().describe('The `kid` of the tokens that it signs.'),
    issuer_id: z.string(),
    algorithm,
    status: z
      .enum(signingKeyStatuses)
      .describe(
        '`upcoming`: published, and signs from `activates_at` on. `retired`: its tokens still verify.',
      ),
    public_key: publicKey.nullable().describe('null where the stored key is damaged.'),
    created_at: timestampField,
    activates_at: timestampField,
    retires_at: timestampField.nullable().describe('When its successor takes over.'),
    expires_at: timestampField
      .nullable()
      .describe('When it leaves the key set, after the last token that it can have signed.'),
  })
  .meta({ id: 'SigningKey' });
