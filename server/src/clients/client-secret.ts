import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { hmacKeyOf } from '../secrets/hmac-key.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';

const prefix = 'gl_cs_';
const randomBytesOfSecret = 32;

/** Longer texts are nobody's secret, and cost their sender no more than this. */
const longestPresented = 256;

/** At most so many secrets of a client work at a time: the newest, and the one before it in its grace. */
export const mostSecrets = 2;

/** A client secret as it is shown once, and as it is stored. */
export interface NewClientSecret {
  /** 256 random bits, URL-safe: it needs no escaping in Basic authentication (RFC 6749 §2.3.1) or a form. */
  secret: string;
  /** Its beginning and its last four characters, such as `gl_cs_…a1B2`. */
  hint: string;
  digest: Buffer;
  generation: number;
}

/** A secret of a client as memory holds it. */
export interface HeldSecret {
  readonly digest: Buffer;
  readonly generation: number;
  /** null: until it is rotated. */
  readonly expiresAtMs: number | null;
}

/** Makes a secret for this client that nobody can guess. */
export function newClientSecret(
  clientId: string,
  secrets: Pick<InstallationSecrets, 'current'>,
): NewClientSecret {
  const { generation, key } = secrets.current('client-secret');
  const secret = prefix + randomBytes(randomBytesOfSecret).toString('base64url');
  return {
    secret,
    hint: `${prefix}…${secret.slice(-4)}`,
    digest: digestOf(clientId, secret, key),
    generation,
  };
}

/**
 * Says whether this is a secret of the client that works now. All that could match are compared, in constant time, and
 * always as many as a client can have: neither which one matched nor how many there are can be told from how long it takes.
 */
export function verifyClientSecret(
  client: { readonly id: string; readonly secrets: readonly HeldSecret[] },
  presented: string,
  { secrets, nowMs }: { secrets: Pick<InstallationSecrets, 'current' | 'key'>; nowMs: number },
): boolean {
  if (presented.length > longestPresented) return false;
  const current = secrets.current('client-secret');
  let matches = false;
  for (let at = 0; at < Math.max(mostSecrets, client.secrets.length); at++) {
    const held = client.secrets[at];
    const key = held && secrets.key('client-secret', held.generation);
    const isUsable =
      held !== undefined && key !== undefined && (held.expiresAtMs === null || held.expiresAtMs > nowMs);
    const digest = digestOf(client.id, presented, key ?? current.key);
    const isEqual = timingSafeEqual(digest, held?.digest ?? noDigest);
    matches = (isUsable && isEqual) || matches;
  }
  return matches;
}

const noDigest = Buffer.alloc(32);

/** Bound to the client: put in another's row, it is no secret of that one. */
function digestOf(clientId: string, secret: string, key: Uint8Array): Buffer {
  return createHmac('sha256', hmacKeyOf(key)).update(`${clientId} ${secret}`).digest();
}
