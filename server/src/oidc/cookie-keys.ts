import { createHmac, timingSafeEqual } from 'node:crypto';
import { deriveSubkey } from '../secrets/envelope.ts';
import { hmacKeyOf } from '../secrets/hmac-key.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';

const macBytes = 32;

/**
 * Signs the cookies of one issuer, as Keygrip does: under the newest generation of the installation secret `cookie`, and
 * what earlier ones have signed still counts. The issuer is part of what is signed: a cookie of one issuer is none of
 * another's, also where a browser sends it there.
 */
export class CookieKeys {
  readonly #secrets: Pick<InstallationSecrets, 'current' | 'generations'>;
  readonly #issuerId: string;
  readonly #subkeys = new WeakMap<Uint8Array, Buffer>();

  constructor(secrets: Pick<InstallationSecrets, 'current' | 'generations'>, issuerId: string) {
    this.#secrets = secrets;
    this.#issuerId = issuerId;
  }

  sign(data: string): string {
    return this.#macOf(this.#secrets.current('cookie').key, data).toString('base64url');
  }

  /** Whose signature this is: 0 for one that would be made now, -1 for nobody's. */
  index(data: string, signature: string): number {
    const shown = Buffer.from(signature, 'base64url');
    if (shown.length !== macBytes) return -1;
    const { generation } = this.#secrets.current('cookie');
    for (const secret of this.#secrets.generations('cookie')) {
      if (timingSafeEqual(this.#macOf(secret.key, data), shown))
        return secret.generation === generation ? 0 : 1;
    }
    return -1;
  }

  verify(data: string, signature: string): boolean {
    return this.index(data, signature) > -1;
  }

  #macOf(key: Buffer, data: string): Buffer {
    let subkey = this.#subkeys.get(key);
    if (subkey === undefined) {
      subkey = deriveSubkey(key, `cookies of ${this.#issuerId}`);
      this.#subkeys.set(key, subkey);
    }
    return createHmac('sha256', hmacKeyOf(subkey)).update(data).digest();
  }
}
