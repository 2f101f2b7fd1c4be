import { z } from 'zod';
import { text } from '../http/fields.ts';
import { createApiKeyBody } from './api-key-schema.ts';
import { hashOfSecret, parseHash } from './imported-hash.ts';

/** How many keys one call imports at the most. */
export const maxImportedKeys = 1_000;

const importedKey = z
  .strictObject({
    ...createApiKeyBody.shape,
    hash: z.string().describe('SHA-256 of the UTF-8 bytes of the whole secret, prefix included.'),
    encoding: z
      .enum(['hex', 'base64'])
      .default('hex')
      .describe('`base64` is taken as base64url too, with or without padding.'),
    prefix: text(1, 40)
      .nullish()
      .describe('How the secret begins, for its hint. Never the whole secret, which is refused.'),
    hint: text(1, 64)
      .nullish()
      .describe('What its user recognizes the key by; `prefix…`, or `imported…`, unless given.'),
    enabled: z
      .boolean()
      .default(true)
      .describe('false imports the key disabled, as it is where it comes from.'),
  })
  .transform(({ encoding, ...key }, context) => {
    const hash = parseHash(key.hash, encoding);
    if (hash === null) {
      context.addIssue({
        code: 'custom',
        path: ['hash'],
        message: complaintAbout(key.hash, encoding),
        params: { code: 'invalid_format' },
      });
      return z.NEVER;
    }
    for (const member of ['prefix', 'hint', 'name', 'description'] as const) {
      const value = key[member];
      if (value == null || !hash.equals(hashOfSecret(value))) continue;
      context.addIssue({
        code: 'custom',
        path: [member],
        message: 'is the whole secret, which must not be stored; give a part by which its user recognizes it',
        params: { code: 'contains_secret' },
      });
    }
    // One spelling for each hash, whatever it was sent in.
    return { ...key, hash: hash.toString('hex') };
  })
  .meta({ id: 'ImportedApiKey' });

function complaintAbout(hash: string, encoding: 'hex' | 'base64'): string {
  if (encoding === 'base64')
    return 'must be a SHA-256 hash in base64 or base64url: 43 characters, or 44 with the padding';
  const isBase64 = parseHash(hash, 'base64') !== null;
  return `must be a SHA-256 hash of 64 hexadecimal digits${isBase64 ? '; this one looks like base64: add "encoding": "base64"' : ''}`;
}

/** Body of `POST …/api-keys/import`. */
export const importApiKeysBody = z
  .strictObject({
    keys: z.array(importedKey).min(1).max(maxImportedKeys),
    dry_run: z
      .boolean()
      .default(false)
      .describe('Goes through all of it and imports nothing: `imported` tells how many it would have been.'),
  })
  .meta({
    id: 'ImportApiKeysRequest',
    examples: [
      {
        keys: [
          {
            hash: '7d4c87a26632e5b8bbd14a33a4edb0b3e3a91a9d2c6bb01c2cf3dbc1a2f9f8b4',
            prefix: 'acme_live_',
            name: 'Billing service',
            restrictions: { scopes: ['invoices:read'] },
            metadata: { customer: '42' },
          },
        ],
      },
    ],
  });

export type ImportedKeyInput = z.output<typeof importApiKeysBody>['keys'][number];

const index = z.int().min(0).describe('The place in `keys` of the request, from 0.');

/** The answer of an import. */
export const importResult = z
  .object({
    imported: z.int().min(0),
    conflicts: z.array(
      z.object({
        index,
        reason: z
          .enum(['already_imported', 'duplicate_in_request'])
          .describe('The account has a key of this hash; the same hash stands further up in this request.'),
      }),
    ),
    keys: z.array(z.object({ index, id: z.string() })).describe('The new keys; none in a dry run.'),
  })
  .meta({ id: 'ApiKeyImport' });
