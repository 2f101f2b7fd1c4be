import { createPublicKey } from 'node:crypto';
import { compactVerify, decodeProtectedHeader, errors } from 'jose';
import { isPublished } from '../signing-keys/signing-key.ts';
import type { IssuerRuntime } from './runtime.ts';

/** What an ID token says of who it was made for. */
export interface IdTokenHint {
  readonly clientId: string;
  readonly userId: string;
  readonly sessionId: string | null;
}

/**
 * What an ID token of this issuer says, also one that has expired (OpenID Connect RP-Initiated Logout 1.0 §2); null for
 * what is none. Its type keeps access and logout tokens from passing for one.
 */
export async function readIdTokenHint(runtime: IssuerRuntime, token: string): Promise<IdTokenHint | null> {
  try {
    const { kid, typ, alg } = decodeProtectedHeader(token);
    if (typ !== undefined && typ !== 'JWT') return null;
    const set = await runtime.signingKeys.keySet(runtime.issuer.id);
    const key = set?.newestFirst.find(({ material }) => material.id === kid && material.algorithm === alg);
    if (key === undefined || !isPublished(key, runtime.now().getTime())) return null;
    const { kty, crv, x, y, n, e } = key.material.publicJwk;
    const publicKey = createPublicKey({ key: { kty, crv, x, y, n, e } as never, format: 'jwk' });
    const { payload } = await compactVerify(token, publicKey, { algorithms: [key.material.algorithm] });
    return hintOf(JSON.parse(Buffer.from(payload).toString()), runtime.url);
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof SyntaxError)
      return null;
    throw error;
  }
}

function hintOf(claims: Record<string, unknown>, issuer: string): IdTokenHint | null {
  const { iss, aud, sub, sid } = claims;
  if (iss !== issuer || typeof aud !== 'string' || typeof sub !== 'string') return null;
  return { clientId: aud, userId: sub, sessionId: typeof sid === 'string' ? sid : null };
}
