import { generateKeyPairSync } from 'node:crypto';
import { decodeJwt } from 'jose';
import { claimsByScope } from './accounts.ts';
import { all, inAnswerOf, paths, type Variant } from './mutant.ts';
import { everyRefresh, unsignedRequestObject } from './mutants/module-groups.ts';
import type { OidcConfiguration } from './oidc-provider.ts';
import { editJson, jsonOf } from './wire.ts';

/** Providers that do otherwise what they may do otherwise. */
export const variants: readonly Variant[] = [
  {
    name: 'signs-es256',
    does: 'clients have their ID tokens signed by ES256, beside the RS256 that there has to be',
    outcomes: {},
    configure: (configuration) => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      signBy(configuration, 'ES256', privateKey.export({ format: 'jwk' }));
    },
  },
  {
    name: 'signs-eddsa',
    does: 'clients have their ID tokens signed by EdDSA, whose at_hash is made by SHA-512',
    outcomes: {},
    configure: (configuration) => {
      const { privateKey } = generateKeyPairSync('ed25519');
      signBy(configuration, 'EdDSA', privateKey.export({ format: 'jwk' }));
    },
  },
  {
    name: 'keys-two',
    does: 'a key that is to sign next is in the key set already',
    outcomes: {},
    ...inAnswerOf(paths.keys, (answer) => {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      editJson(answer, (set) => {
        set.keys = [{ ...publicKey.export({ format: 'jwk' }), kid: 'next' }, ...(set.keys as object[])];
      });
    }),
  },
  {
    name: 'request-objects-obeyed',
    does: 'unsigned request objects are obeyed',
    outcomes: { [unsignedRequestObject]: 'pass' },
    request: ({ url }) => {
      const object = url.searchParams.get('request');
      if (url.pathname !== paths.authorization || object === null) return undefined;
      url.searchParams.delete('request');
      for (const [name, value] of Object.entries(decodeJwt(object))) {
        if (name !== 'iss' && name !== 'aud') url.searchParams.set(name, String(value));
      }
      return undefined;
    },
  },
  {
    name: 'request-objects-signed-alone',
    does: 'request objects must be signed, as the metadata says',
    outcomes: { 'oidcc-ensure-request-object-with-redirect-uri': 'skipped-by-plan' },
    ...inAnswerOf(paths.metadata, (answer) =>
      editJson(answer, (metadata) => {
        metadata.request_object_signing_alg_values_supported = ['RS256'];
      }),
    ),
  },
  {
    name: 'userinfo-without-body',
    does: 'UserInfo takes no token from a body',
    outcomes: { 'oidcc-userinfo-post-body': 'warning' },
    request: ({ url, form }) =>
      url.pathname === paths.userinfo && form?.has('access_token')
        ? jsonOf(400, { error: 'invalid_request' })
        : undefined,
  },
  {
    name: 'refresh-tokens-none',
    does: 'there are no refresh tokens',
    outcomes: all('skipped-by-plan', everyRefresh),
    configure: (configuration) => {
      configuration.scopes = Object.keys(claimsByScope);
      for (const client of configuration.clients as Record<string, unknown>[]) {
        client.grant_types = ['authorization_code'];
      }
    },
    ...inAnswerOf(paths.metadata, (answer) =>
      editJson(answer, (metadata) => {
        metadata.grant_types_supported = ['authorization_code'];
      }),
    ),
  },
  {
    name: 'scopes-few',
    does: 'the metadata names no scopes but openid and email',
    outcomes: {
      ...all('skipped-by-plan', [
        'oidcc-scope-profile',
        'oidcc-scope-address',
        'oidcc-scope-phone',
        'oidcc-scope-all',
      ]),
    },
    ...inAnswerOf(paths.metadata, (answer) =>
      editJson(answer, (metadata) => {
        metadata.scopes_supported = ['openid', 'email', 'offline_access'];
      }),
    ),
  },
  {
    name: 'claims-few',
    does: 'the users have no middle names, and the metadata promises none',
    outcomes: {},
    answer: (answer, { url }) => {
      const remove = (members: Record<string, unknown>) => {
        delete members.middle_name;
        const { claims_supported: claims } = members;
        if (Array.isArray(claims)) members.claims_supported = claims.filter((name) => name !== 'middle_name');
      };
      if (url.pathname === paths.userinfo || url.pathname === paths.metadata) editJson(answer, remove);
    },
  },
  {
    name: 'metadata-least',
    does: 'the metadata has required members alone',
    outcomes: {
      'oidcc-discovery-endpoint-verification': 'warning',
      'own-iss-parameter': 'skipped-by-plan',
      'own-response-mode-form-post': 'skipped-by-plan',
      'oidcc-ensure-request-with-acr-values-succeeds': 'warning',
      ...all('skipped-by-plan', everyRefresh),
    },
    ...inAnswerOf(paths.metadata, (answer) =>
      editJson(answer, (metadata) => {
        const kept = [
          'issuer',
          'authorization_endpoint',
          'token_endpoint',
          'jwks_uri',
          'response_types_supported',
          'subject_types_supported',
          'id_token_signing_alg_values_supported',
          // Not required, but without them there is nothing to ask.
          'userinfo_endpoint',
          'end_session_endpoint',
          'token_endpoint_auth_methods_supported',
        ];
        for (const name of Object.keys(metadata)) if (!kept.includes(name)) delete metadata[name];
      }),
    ),
  },
];

function signBy(configuration: OidcConfiguration, alg: string, jwk: object): void {
  const { keys } = configuration.jwks as { keys: object[] };
  configuration.jwks = { keys: [...keys, { ...jwk, alg, kid: 'other', use: 'sig' }] };
  for (const client of configuration.clients as Record<string, unknown>[]) {
    client.id_token_signed_response_alg = alg;
  }
}
