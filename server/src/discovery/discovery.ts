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
import type { IssuerSettings } from '../oidc/issuer-settings.ts';
import { providerMetadata } from '../oidc/metadata.ts';
import type { OidcSettings } from '../oidc/oidc-settings.ts';
import type { Settings } from '../settings.ts';
import { jwksMaxAgeSeconds, signingAlgorithms } from '../signing-keys/signing-key.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';

const heldDocuments = 4_096;

const endpoint = z.string();
const names = z.array(z.string());

/** OpenID Connect Discovery 1.0 §3, RFC 8414 §2: what there is, and nothing that an issuer does not do. */
const providerMetadataSchema = z
  .object({
    issuer: z.string().describe('The `iss` of the tokens.'),
    authorization_endpoint: endpoint,
    token_endpoint: endpoint,
    userinfo_endpoint: endpoint,
    jwks_uri: endpoint,
    end_session_endpoint: endpoint,
    introspection_endpoint: endpoint,
    revocation_endpoint: endpoint,
    pushed_authorization_request_endpoint: endpoint,
    device_authorization_endpoint: endpoint.optional(),
    registration_endpoint: endpoint.optional(),
    scopes_supported: names,
    claims_supported: names,
    claim_types_supported: names,
    claims_parameter_supported: z.boolean(),
    request_parameter_supported: z.boolean(),
    request_uri_parameter_supported: z.boolean(),
    response_types_supported: names,
    response_modes_supported: names,
    grant_types_supported: names,
    subject_types_supported: z.array(z.literal('public')),
    acr_values_supported: names,
    code_challenge_methods_supported: names,
    token_endpoint_auth_methods_supported: names,
    introspection_endpoint_auth_methods_supported: names,
    revocation_endpoint_auth_methods_supported: names,
    authorization_response_iss_parameter_supported: z.boolean(),
    id_token_signing_alg_values_supported: z
      .array(z.enum(signingAlgorithms))
      .describe('What an issuer can be told to sign with; the key set says what it signs with now.'),
    backchannel_logout_supported: z.boolean(),
    backchannel_logout_session_supported: z.boolean(),
    dpop_signing_alg_values_supported: names.optional(),
  })
  .meta({ id: 'ProviderMetadata' });

const contract = {
  method: 'GET',
  summary: 'What an issuer is and where its endpoints are',
  description: 'For anybody, from any page. Every URL stands on the public URL of the installation.',
  security: 'none',
  params: issuerParams,
  responses: {
    200: {
      description: 'The metadata.',
      schema: providerMetadataSchema,
      headers: ['Cache-Control', 'ETag', 'Access-Control-Allow-Origin'],
    },
    304: { description: 'What If-None-Match names is still right.' },
  },
} as const;

export const discoveryContracts = [
  defineContract({
    ...contract,
    responses: {
      ...contract.responses,
      200: { ...contract.responses[200], headers: [...contract.responses[200].headers] },
    },
    path: '/{issuer_id}/.well-known/openid-configuration',
    operationId: 'discovery.get',
  }),
  defineContract({
    ...contract,
    responses: {
      ...contract.responses,
      200: { ...contract.responses[200], headers: [...contract.responses[200].headers] },
    },
    path: '/.well-known/oauth-authorization-server/{issuer_id}',
    operationId: 'discovery.getByHost',
    summary: 'The same where RFC 8414 puts it',
  }),
];

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  keys: KeyDirectory;
  issuerSettings: IssuerSettings;
}

/**
 * `GET /{issuer_id}/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server/{issuer_id}`. Nothing in
 * it comes from a request but the id that was found.
 */
export class DiscoveryEndpoint {
  readonly #deps: Dependencies;
  readonly #held = new LRUCache<string, { settings: OidcSettings; document: CachedDocument }>({
    max: heldDocuments,
  });

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    headers.push(...readableByAnyPage);
    const found = this.#deps.keys.findIssuer(splitIssuerPath(request.url ?? '').issuerId ?? '');
    const issuer = found instanceof Promise ? await found : found;
    if (issuer === null || issuer.account.status === 'deleting') throw new AppError('not_found');
    const settings = this.#deps.issuerSettings.of(issuer);
    const known = settings instanceof Promise ? await settings : settings;
    if (known === null) throw new AppError('not_found');
    headers.push('X-Request-Id', info.id);
    return answerDocument(request, this.#documentOf(issuer.id, known.oidc), jwksMaxAgeSeconds, headers);
  }

  #documentOf(issuerId: string, settings: OidcSettings): CachedDocument {
    const held = this.#held.get(issuerId);
    if (held?.settings === settings) return held.document;
    const url = issuerUrl(this.#deps.settings, issuerId);
    const document = cachedDocument(JSON.stringify(providerMetadata(url, settings)));
    this.#held.set(issuerId, { settings, document });
    return document;
  }
}
