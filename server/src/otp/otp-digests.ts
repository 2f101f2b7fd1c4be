import { createHmac, randomBytes } from 'node:crypto';
import type { Environment } from '../key-profiles/key-profile.ts';
import { networkOf } from '../limits/network-cap.ts';
import { hmacKeyOf } from '../secrets/hmac-key.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';

/** Who budgets are of, as the tables name them: keyed, since many an address stands there that is nobody's user. */
export interface Subjects {
  /** The address at this issuer. */
  readonly address: Buffer;
  /** The address wherever it is sent to. */
  readonly everywhere: Buffer;
}

const deviceTokenPattern = /^gld_[A-Za-z0-9_-]{43}$/;

/** The keyed digests of sign-in by code. */
export class OtpDigests {
  readonly #secrets: Pick<InstallationSecrets, 'generations' | 'current'>;

  constructor(secrets: Pick<InstallationSecrets, 'generations' | 'current'>) {
    this.#secrets = secrets;
  }

  /** @param addressKey the form of the address that is compared */
  address(issuerId: string, addressKey: string): Buffer {
    return this.#lasting('address', `${issuerId}\0${addressKey}`);
  }

  /** The same for every issuer. */
  everywhere(addressKey: string): Buffer {
    return this.#lasting('address anywhere', addressKey);
  }

  /** @param lineageId the first key of the line of rotations */
  key(lineageId: string): Buffer {
    return this.#lasting('key', lineageId);
  }

  /** The login pages of an issuer, which have a budget of their own. */
  loginPages(issuerId: string): Buffer {
    return this.#lasting('login pages', issuerId);
  }

  /** One digest for all spellings of an address, and of IPv6 for the whole /64. A sandbox takes nothing from what is live. */
  ip(ip: string, environment: Environment): Buffer {
    return this.#lasting('ip', `${environment}\0${networkOf(ip)}`);
  }

  /** A new device's token, and what is stored of it. */
  newDevice(): { token: string; digest: Buffer } {
    const token = `gld_${randomBytes(32).toString('base64url')}`;
    return { token, digest: digestOf(this.#secrets.current('otp').key, 'device', token) };
  }

  /** What may be stored of a token that came with a request; nothing for what is none. */
  devices(token: string | undefined): readonly Buffer[] {
    if (token === undefined || !deviceTokenPattern.test(token)) return [];
    return this.#secrets.generations('otp').map(({ key }) => digestOf(key, 'device', token));
  }

  /**
   * Under the oldest generation that is not retired: a rotation must not empty budgets. They start anew where the
   * operator retires it.
   */
  #lasting(what: string, text: string): Buffer {
    return digestOf(this.#secrets.generations('otp').at(-1)!.key, what, text);
  }
}

function digestOf(key: Uint8Array, what: string, text: string): Buffer {
  return createHmac('sha256', hmacKeyOf(key)).update(`otp ${what}\0${text}`).digest();
}
