import { createHash } from 'node:crypto';
import { compactVerify, createLocalJWKSet, decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose';
import type { ClientConfig } from '../config.ts';
import type { Trial } from '../suite/trial.ts';
import { checkClaimTypes } from './standard-claims.ts';

/** What an ID token is held against. */
export interface IdTokenExpectation {
  readonly client: ClientConfig;
  /** The nonce of the request; nothing where it had none. */
  readonly nonce: string | undefined;
  readonly accessToken?: string;
  readonly code?: string;
  /** Of a refresh, where the nonce may be left out (Core §12.2). */
  readonly mayOmitNonce?: boolean;
}

const skewSeconds = 60;
const oldestIssueSeconds = 600;

/** Checks an ID token as a client must (Core §3.1.3.7), and gives its claims. */
export async function checkIdToken(
  trial: Trial,
  idToken: string | undefined,
  expected: IdTokenExpectation,
): Promise<JWTPayload> {
  trial.require(idToken !== undefined, 'there is no id_token (Core §3.1.3.3)');
  const { header, claims } = decode(trial, idToken);
  await checkSignature(trial, idToken, header);
  checkAudience(trial, claims, expected.client);
  checkTimes(trial, claims);
  checkSubject(trial, claims);
  trial.check(claims.iss === trial.metadata.issuer, 'iss is not the issuer of the metadata (Core §3.1.3.7)');
  if (!(expected.mayOmitNonce === true && claims.nonce === undefined)) {
    trial.check(
      claims.nonce === expected.nonce,
      expected.nonce === undefined
        ? 'there is a nonce, though the request had none (Core §2)'
        : 'nonce is not that of the request (Core §3.1.3.7)',
    );
  }
  checkHash(trial, claims, 'at_hash', header.alg, expected.accessToken);
  checkHash(trial, claims, 'c_hash', header.alg, expected.code);
  checkClaimTypes(trial, claims, 'the ID token');
  return claims;
}

function decode(trial: Trial, idToken: string) {
  try {
    return { header: decodeProtectedHeader(idToken), claims: decodeJwt(idToken) };
  } catch {
    trial.require(false, 'id_token is no signed JWT (Core §2)');
  }
}

async function checkSignature(
  trial: Trial,
  idToken: string,
  header: { alg?: string; kid?: string },
): Promise<void> {
  const algorithms = trial.metadata.list('id_token_signing_alg_values_supported') ?? ['RS256'];
  const { alg = '', kid } = header;
  if (!trial.check(alg !== '' && alg.toLowerCase() !== 'none', 'the ID token is not signed (Core §2)'))
    return;
  trial.check(
    algorithms.includes(alg),
    `alg ${alg} is not among id_token_signing_alg_values_supported (Core §3.1.3.7)`,
  );
  const keys = await trial.metadata.keys();
  // Core §10.1: with several keys to choose from, kid says which.
  trial.check(kid !== undefined || keys.keys.length === 1, 'the ID token has no kid (Core §10.1)');
  try {
    await compactVerify(idToken, createLocalJWKSet(keys), { algorithms: [alg] });
  } catch {
    trial.check(false, 'the signature is of no key of jwks_uri (Core §3.1.3.7, RFC 7515 §5.2)');
  }
}

function checkAudience(trial: Trial, claims: JWTPayload, { clientId }: ClientConfig): void {
  const audiences = typeof claims.aud === 'string' ? [claims.aud] : (claims.aud ?? []);
  trial.check(audiences.includes(clientId), 'aud does not have the client in it (Core §3.1.3.7)');
  trial.check(
    audiences.length === 1 || claims.azp !== undefined,
    'there are several audiences and no azp (Core §3.1.3.7)',
  );
  trial.check(claims.azp === undefined || claims.azp === clientId, 'azp is not the client (Core §3.1.3.7)');
}

function checkTimes(trial: Trial, { exp, iat, nbf, auth_time: authTime }: JWTPayload): void {
  const now = Date.now() / 1_000;
  trial.check(typeof exp === 'number' && exp > now - skewSeconds, 'exp is missing or past (Core §3.1.3.7)');
  trial.check(
    typeof iat === 'number' && iat < now + skewSeconds && iat > now - oldestIssueSeconds,
    'iat is missing, in the future or long past (Core §3.1.3.7)',
  );
  trial.check(nbf === undefined || nbf < now + skewSeconds, 'nbf is in the future (RFC 7519 §4.1.5)');
  trial.check(
    authTime === undefined || (typeof authTime === 'number' && authTime < now + skewSeconds),
    'auth_time is no number or in the future (Core §2)',
  );
}

function checkSubject(trial: Trial, { sub }: JWTPayload): void {
  trial.check(
    typeof sub === 'string' && /^[\x20-\x7e]{1,255}$/.test(sub),
    'sub is not 1 to 255 characters of ASCII (Core §2)',
  );
}

/** Core §3.1.3.6 and §3.3.2.11: optional beside a code, but right where it is there. */
function checkHash(
  trial: Trial,
  claims: JWTPayload,
  name: 'at_hash' | 'c_hash',
  alg: string | undefined,
  value: string | undefined,
): void {
  if (claims[name] === undefined || value === undefined) return;
  const digest = createHash(hashOf(alg)).update(value).digest();
  const half = digest.subarray(0, digest.length / 2).toString('base64url');
  trial.check(claims[name] === half, `${name} is of another value (Core §3.3.2.11)`);
}

function hashOf(alg = ''): string {
  return alg === 'EdDSA' || alg === 'Ed25519' ? 'sha512' : `sha${alg.slice(-3)}`;
}
