import { isLoopback } from '../browser/cookie-jar.ts';
import { hasMediaType } from '../browser/http.ts';
import type { ProviderMetadata } from '../protocol/provider-metadata.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';
import { checkKeySet } from './key-set.ts';

/** Response types of OpenID Connect and OAuth 2.0's multiple response types, words sorted. */
const responseTypes = [
  'code',
  'id_token',
  'none',
  'token',
  'code id_token',
  'code token',
  'id_token token',
  'code id_token token',
];

/**
 * The original also wants `https` of every endpoint; so does this, except that an issuer on loopback may use http for
 * itself.
 */
export const discoveryEndpointVerification: ConformanceModule = {
  name: 'oidcc-discovery-endpoint-verification',
  shows:
    'the metadata is where it belongs, names this issuer and has every required member; its keys are public',
  run: async (trial: Trial) => {
    const { metadata } = trial;
    trial.check(
      hasMediaType(metadata.answer, 'application/json'),
      'metadata is not application/json (Discovery §4.2)',
    );
    checkIssuer(trial, metadata);
    checkLists(trial, metadata);
    checkEndpoints(trial, metadata);
    checkAdvice(trial, metadata);
    checkKeySet(trial, await metadata.keys());
  },
};

function checkIssuer(trial: Trial, metadata: ProviderMetadata): void {
  const { issuer } = metadata;
  trial.check(issuer === trial.config.issuer, 'issuer is not the issuer that was asked (Discovery §4.3)');
  const url = URL.parse(issuer);
  trial.check(
    url !== null && !issuer.includes('?') && !issuer.includes('#') && isSecure(url, url),
    'issuer is no https URL without query and fragment (Discovery §3)',
  );
}

function checkLists(trial: Trial, metadata: ProviderMetadata): void {
  const list = (name: string) => {
    const value = metadata.members[name];
    const isList =
      Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string');
    trial.check(isList, `${name} is missing or no list of strings (Discovery §3)`);
    return metadata.list(name) ?? [];
  };
  const types = list('response_types_supported').map((type) => type.split(' ').sort().join(' '));
  trial.check(types.includes('code'), 'response_types_supported lacks code (Discovery §3)');
  const unknown = types.filter((type) => !responseTypes.includes(type));
  trial.advise(
    unknown.length === 0,
    `response_types_supported has ${unknown.join(', ')}, which nobody defined`,
  );
  const subjects = list('subject_types_supported');
  trial.check(
    subjects.every((type) => type === 'public' || type === 'pairwise'),
    'subject_types_supported has other types than public and pairwise (Discovery §3)',
  );
  trial.check(
    list('id_token_signing_alg_values_supported').includes('RS256'),
    'id_token_signing_alg_values_supported lacks RS256 (Discovery §3)',
  );
  const optional = ['grant_types_supported', 'scopes_supported', 'code_challenge_methods_supported'];
  const others = ['token_endpoint_auth_methods_supported', 'response_modes_supported', 'claims_supported'];
  for (const name of [...optional, ...others]) if (metadata.members[name] !== undefined) list(name);
}

function checkEndpoints(trial: Trial, metadata: ProviderMetadata): void {
  const required = ['authorization_endpoint', 'token_endpoint', 'jwks_uri'];
  for (const name of required) {
    trial.check(metadata.members[name] !== undefined, `${name} is missing (Discovery §3)`);
  }
  trial.advise(
    metadata.members.userinfo_endpoint !== undefined,
    'userinfo_endpoint is missing, which is recommended (Discovery §3)',
  );
  const issuer = URL.parse(trial.config.issuer);
  for (const [name, value] of Object.entries(metadata.members)) {
    if (!name.endsWith('_endpoint') && name !== 'jwks_uri') continue;
    const url = typeof value === 'string' ? URL.parse(value) : null;
    trial.check(url !== null && isSecure(url, issuer), `${name} is no https URL (Discovery §3)`);
    trial.check(url?.hash === '', `${name} has a fragment (RFC 6749 §3.1)`);
  }
}

function checkAdvice(trial: Trial, metadata: ProviderMetadata): void {
  const scopes = metadata.list('scopes_supported');
  trial.advise(scopes !== undefined, 'scopes_supported is missing, which is recommended (Discovery §3)');
  trial.check(scopes?.includes('openid') ?? true, 'scopes_supported lacks openid (Discovery §3)');
  trial.check(
    scopes?.every((scope) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)) ?? true,
    'scopes_supported has something that is no scope (RFC 6749 §3.3)',
  );
  trial.advise(
    metadata.list('claims_supported') !== undefined,
    'claims_supported is missing, which is recommended (Discovery §3)',
  );
  const objects = metadata.list('request_object_signing_alg_values_supported');
  trial.advise(
    objects?.includes('RS256') ?? true,
    'request_object_signing_alg_values_supported lacks RS256, which is recommended (Discovery §3)',
  );
  for (const name of [
    'claims_parameter_supported',
    'request_parameter_supported',
    'request_uri_parameter_supported',
  ]) {
    const value = metadata.members[name];
    trial.check(value === undefined || typeof value === 'boolean', `${name} is no boolean (Discovery §3)`);
  }
}

/** `https`, or http on loopback for an issuer that is there itself. */
export function isSecure(url: URL, issuer: URL | null): boolean {
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && isLoopback(url.hostname) && issuer?.protocol === 'http:';
}
