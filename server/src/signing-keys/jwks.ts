import type { EdgeAnswer } from '../edge/answer.ts';
import { answerDocument, readableByAnyPage } from '../edge/cached-document.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { defineContract } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { jwksMaxAgeSeconds } from './signing-key.ts';
import { jsonWebKeySet } from './signing-key-schema.ts';
import type { SigningKeys } from './signing-keys.ts';

export const jwksContract = defineContract({
  method: 'GET',
  path: '/{issuer_id}/jwks.json',
  operationId: 'jwks.get',
  summary: 'The public keys of an issuer',
  description:
    'For anybody, from any page. Take the key that a token names by its `kid`, and ask again when there is none of that name; a new key is published well before it signs.',
  security: 'none',
  params: issuerParams,
  responses: {
    200: {
      description: 'The key set.',
      schema: jsonWebKeySet,
      headers: ['Cache-Control', 'ETag', 'Access-Control-Allow-Origin'],
    },
    304: { description: 'What If-None-Match names is still right.' },
  },
});

/** `GET /{issuer_id}/jwks.json`. */
export class JwksEndpoint {
  readonly #signingKeys: SigningKeys;

  constructor(signingKeys: SigningKeys) {
    this.#signingKeys = signingKeys;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    headers.push(...readableByAnyPage);
    const found = this.#signingKeys.jwksDocument(splitIssuerPath(request.url ?? '').issuerId ?? '');
    const document = found instanceof Promise ? await found : found;
    if (document === null) throw new AppError('not_found');
    headers.push('X-Request-Id', info.id);
    return answerDocument(request, document, jwksMaxAgeSeconds, headers);
  }
}
