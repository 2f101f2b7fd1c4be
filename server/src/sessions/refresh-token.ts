import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { hmacKeyOf } from '../secrets/hmac-key.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';

/**
 * A refresh token:
 *
 * ```
 * gl_rt_ 1_ Zk3…43 characters…8w j2f…12 characters
 * prefix │  32 random bytes      check: HMAC under the installation secret `refresh-token` over all before it
 *        └─ generation of the secret
 * ```
 *
 * The check part lets a node refuse a made-up token without asking the database. What is stored is another HMAC of the
 * whole, which is worth nothing without the secret.
 */
const form = /^gl_rt_([1-9][0-9]?)_[A-Za-z0-9_-]{43}[A-Za-z0-9_-]{12}$/;
const randomBytesOfToken = 32;
const checkBytes = 9;
const checkLength = 12;

/** A refresh token as it is given out once, and as it is stored. */
export interface NewRefreshToken {
  token: string;
  digest: Buffer;
  generation: number;
}

type Secrets = Pick<InstallationSecrets, 'current' | 'key'>;

/** Makes a refresh token that nobody can guess. */
export function newRefreshToken(secrets: Pick<Secrets, 'current'>): NewRefreshToken {
  const { generation, key } = secrets.current('refresh-token');
  const unchecked = `gl_rt_${generation}_${randomBytes(randomBytesOfToken).toString('base64url')}`;
  const token = unchecked + checkOf(unchecked, key);
  return { token, digest: digestOf(token, key), generation };
}

/** What is stored of this token, or null where this installation has not made it. */
export function digestOfRefreshToken(token: string, secrets: Pick<Secrets, 'key'>): Buffer | null {
  const generation = form.exec(token)?.[1];
  const key = generation === undefined ? undefined : secrets.key('refresh-token', Number(generation));
  if (key === undefined) return null;
  const expected = Buffer.from(checkOf(token.slice(0, -checkLength), key));
  return timingSafeEqual(Buffer.from(token.slice(-checkLength)), expected) ? digestOf(token, key) : null;
}

function checkOf(unchecked: string, key: Uint8Array): string {
  const mac = createHmac('sha256', hmacKeyOf(key)).update(`check ${unchecked}`).digest();
  return mac.subarray(0, checkBytes).toString('base64url');
}

function digestOf(token: string, key: Uint8Array): Buffer {
  return createHmac('sha256', hmacKeyOf(key)).update(`digest ${token}`).digest();
}
