import { type CryptoKey, errors, jwtVerify } from 'jose';
import type { SigningAlgorithm } from '../signing-keys/signing-key.ts';
import { type AccessClaims, isAccessClaims } from './access-claims.ts';

/** `typ` of an access token (RFC 9068 §2.1). It keeps every other kind of JWT of the same issuer from passing for one. */
export const accessTokenType = 'at+jwt';

/** `typ` of what tells a client that a session has ended (OpenID Connect Back-Channel Logout 1.0 §2.4). */
export const logoutTokenType = 'logout+jwt';

/** No token is longer. What is, is refused before anything is made of it. */
const maxTokenLength = 8 * 1024;

/** Three parts of base64url without padding. */
const compactForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** What a token says of how it was signed. */
export interface JwtHeader {
  alg: SigningAlgorithm;
  kid: string;
  typ: string;
}

/** A key as a token's verification needs it. */
export interface VerificationKey {
  readonly algorithm: SigningAlgorithm;
  publicKey(): Promise<CryptoKey>;
}

/** What a token has to be besides authentic. */
export interface TokenDemands {
  /** The only `iss` that counts. */
  issuer: string;
  nowMs: number;
  /** One of the token's audiences. Who leaves it out has to look at `aud` itself. */
  audience?: string | undefined;
}

/**
 * Signs claims as a compact JWS (RFC 7515 §7.1).
 *
 * @param header its first part: `headerSegment`
 * @param sign what makes the signature of the first two parts
 */
export async function signJwt(
  claims: object,
  header: string,
  sign: (data: Buffer) => Uint8Array | Promise<Uint8Array>,
): Promise<string> {
  const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  const signature = sign(Buffer.from(signed, 'latin1'));
  const bytes = signature instanceof Promise ? await signature : signature;
  const token = `${signed}.${Buffer.from(bytes).toString('base64url')}`;
  if (token.length > maxTokenLength) throw new Error(`a token of ${token.length} characters`);
  return token;
}

/** The first part of every token that is signed under this header. */
export function headerSegment({ alg, kid, typ }: JwtHeader): string {
  return Buffer.from(JSON.stringify({ alg, kid, typ })).toString('base64url');
}

/**
 * The claims of a token, or null where it is not one that we have signed in this form.
 *
 * Nothing that a token says decides how it is read (RFC 8725 §3.1): its header has to be, byte for byte, that of one of
 * the issuer's keys, which fixes algorithm, kid and type and leaves no room for `crit`, `jku`, `jwk` or anything else.
 * Signature and payload pass in the one spelling that signing gives them: base64url has several for the same bytes, and
 * a claim that stands twice is read differently by different readers.
 *
 * @param keyOf the key whose tokens begin with this header
 */
export async function verifyAccessToken(
  token: string,
  keyOf: (header: string) => VerificationKey | undefined,
  { issuer, nowMs, audience }: TokenDemands,
): Promise<AccessClaims | null> {
  if (token.length > maxTokenLength || !compactForm.test(token)) return null;
  const [header = '', payload = '', signature = ''] = token.split('.');
  const key = keyOf(header);
  if (key === undefined || !isCanonical(payload) || !isCanonical(signature)) return null;
  const claims = await readSigned(token, key, { issuer, nowMs, audience });
  if (claims === null || claims.iss !== issuer || !isAccessClaims(claims)) return null;
  return JSON.stringify(claims) === Buffer.from(payload, 'base64url').toString() ? claims : null;
}

async function readSigned(
  token: string,
  key: VerificationKey,
  { issuer, nowMs, audience }: TokenDemands,
): Promise<Record<string, unknown> | null> {
  try {
    const { payload } = await jwtVerify(token, await key.publicKey(), {
      algorithms: [key.algorithm],
      typ: accessTokenType,
      issuer,
      currentDate: new Date(nowMs),
      requiredClaims: ['exp'],
      ...(audience !== undefined && { audience }),
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JOSEError) return null;
    throw error;
  }
}

function isCanonical(segment: string): boolean {
  return Buffer.from(segment, 'base64url').toString('base64url') === segment;
}
