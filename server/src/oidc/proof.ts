import { createHash } from 'node:crypto';
import { calculateJwkThumbprint, EmbeddedJWK, errors, type JWTVerifyResult, jwtVerify } from 'jose';
import type { EdgeRequest } from '../edge/edge-request.ts';
import type { AccessClaims } from '../tokens/access-claims.ts';
import { paths, proofAlgorithms } from './metadata.ts';
import { OAuthError } from './oauth-answer.ts';
import { RecordAdapter } from './record-adapter.ts';
import type { IssuerRuntime } from './runtime.ts';

/** For how long a proof is good, and by how much clocks may differ. So the library has it as well. */
export const proofSeconds = 300;

/**
 * Makes sure that a token which is bound to a key comes with a proof of that key for this request (RFC 9449 §7), and that
 * one which is not comes as a bearer token.
 *
 * @throws OAuthError (401)
 */
export async function requireProof(
  runtime: IssuerRuntime,
  request: EdgeRequest,
  { token, scheme }: { token: string; scheme: 'bearer' | 'dpop' },
  claims: AccessClaims,
): Promise<void> {
  const bound = (claims.cnf as { jkt?: unknown } | undefined)?.jkt;
  const proof = request.headers.dpop;
  if (bound === undefined && scheme === 'bearer' && proof === undefined) return;
  if (typeof bound !== 'string' || scheme !== 'dpop' || typeof proof !== 'string')
    throw refused('invalid_token');
  const { payload, key, iat } = await verified(proof, runtime);
  const ath = createHash('sha256').update(token).digest('base64url');
  const isOfRequest =
    payload.htm === request.method && payload.htu === runtime.url + paths.userinfo && payload.ath === ath;
  if (!isOfRequest || (await calculateJwkThumbprint(key)) !== bound) throw refused('invalid_dpop_proof');
  const replays = new RecordAdapter('ReplayDetection', runtime);
  // Counted from its own time: one that is ahead of it is taken for longer. Its last second is taken whole.
  const until = new Date((iat + 2 * proofSeconds + 1) * 1000);
  if (!(await replays.insertOnce(`${bound} ${payload.jti}`, {}, until))) throw refused('invalid_dpop_proof');
}

async function verified(proof: string, runtime: IssuerRuntime) {
  try {
    const result: JWTVerifyResult = await jwtVerify(proof, EmbeddedJWK, {
      algorithms: [...proofAlgorithms],
      typ: 'dpop+jwt',
      maxTokenAge: proofSeconds,
      clockTolerance: proofSeconds,
      currentDate: runtime.now(),
      requiredClaims: ['jti', 'htm', 'htu', 'iat', 'ath'],
    });
    const { jwk } = result.protectedHeader;
    const { jti, iat } = result.payload;
    if (jwk === undefined || typeof jti !== 'string' || iat === undefined)
      throw refused('invalid_dpop_proof');
    return { payload: result.payload, key: jwk, iat };
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) throw refused('invalid_dpop_proof');
    throw error;
  }
}

function refused(error: string): OAuthError {
  return new OAuthError(401, error, 'the token is bound to a key that was not shown', {
    'WWW-Authenticate': `DPoP error="${error}", algs="${proofAlgorithms.join(' ')}"`,
  });
}
