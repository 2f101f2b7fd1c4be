import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { EdgeAnswer } from '../edge/answer.ts';
import {
  answerDocument,
  type CachedDocument,
  cachedDocument,
  readableByAnyPage,
} from '../edge/cached-document.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { defineContract } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import type { Settings } from '../settings.ts';
import { jwksMaxAgeSeconds, signingAlgorithms } from '../signing-keys/signing-key.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';

const heldDocuments = 10_000;

/** OpenID Connect Discovery 1.0 §3: what there is, and nothing that an issuer does not do. */
const providerMetadata = z
  .object({
    issuer: z.string().describe('The `iss` of the tokens.'),
    jwks_uri: z.string(),
    subject_types_supported: z.array(z.literal('public')),
    id_token_signing_alg_values_supported: z
      .array(z.enum(signingAlgorithms))
      .describe('What an issuer can be told to sign with; the key set says what it signs with now.'),
  })
  .meta({ id: 'ProviderMetadata' });

export const discoveryContract = defineContract({
  method: 'GET',
  path: '/{issuer_id}/.well-known/openid-configuration',
  operationId: 'discovery.get',
  summary: 'What an issuer is and where its keys are',
  description: 'For anybody, from any page. Every URL stands on the public URL of the installation.',
  security: 'none',
  params: issuerParams,
  responses: {
    200: {
      description: 'The metadata.',
      schema: providerMetadata,
      headers: ['Cache-Control', 'ETag', 'Access-Control-Allow-Origin'],
    },
    304: { description: 'What If-None-Match names is still right.' },
  },
});

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  keys: KeyDirectory;
}

/** `GET /{issuer_id}/.well-known/openid-configuration`. Nothing in it comes from a request but the id that was found. */
export class DiscoveryEndpoint {
  readonly #deps: Dependencies;
  readonly #held = new LRUCache<string, CachedDocument>({ max: heldDocuments });

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    headers.push(...readableByAnyPage);
    const found = this.#deps.keys.findIssuer(splitIssuerPath(request.url ?? '').issuerId ?? '');
    const issuer = found instanceof Promise ? await found : found;
    if (issuer === null || issuer.account.status === 'deleting') throw new AppError('not_found');
    headers.push('X-Request-Id', info.id);
    return answerDocument(request, this.#documentOf(issuer.id), jwksMaxAgeSeconds, headers);
  }

  #documentOf(issuerId: string): CachedDocument {
    const held = this.#held.get(issuerId);
    if (held !== undefined) return held;
    const issuer = issuerUrl(this.#deps.settings, issuerId);
    const document = cachedDocument(
      JSON.stringify({
        issuer,
        jwks_uri: `${issuer}/jwks.json`,
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: signingAlgorithms,
      }),
    );
    this.#held.set(issuerId, document);
    return document;
  }
}
