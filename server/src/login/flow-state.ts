import { randomBytes, timingSafeEqual } from 'node:crypto';
import { deriveSubkey, EnvelopeError, openEnvelope, sealEnvelope } from '../secrets/envelope.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';

/** What came of a form. It is said by the page that comes next, which can be loaded again and gone back to. */
export type Said =
  | { readonly what: 'resent' | 'malformed-code' }
  | { readonly what: 'invalid-address'; readonly typed: string }
  | { readonly what: 'wrong-code'; readonly attemptsLeft: number }
  | {
      readonly what: 'too-many-codes' | 'too-many-guesses' | 'code-spent' | 'too-soon';
      readonly untilMs: number;
    };

/** What is under way in one interaction, between its pages. */
export interface FlowState {
  /** Stands in each form of the interaction: who does not hold the cookie does not know it. */
  readonly token: string;
  /** What is asked next, as long as nobody is signed in. */
  readonly asks: 'address' | 'code';
  /** As it was typed; null until a code has been asked for. */
  readonly address: string | null;
  /** A code was mailed to it from here; it is no more than known that one was, where it was asked for elsewhere. */
  readonly isMailed: boolean;
  /** From when on another code may be asked for, in milliseconds since 1970. */
  readonly resendAtMs: number;
  /** The code that was mailed has had all of its guesses: only another one helps. */
  readonly isCodeSpent: boolean;
  /** What the next page has to say, once. */
  readonly said: Said | null;
}

/** Whose state it is; of another interaction it does not open. */
interface FlowPlace {
  readonly issuerId: string;
  readonly uid: string;
}

interface SealedState extends FlowState {
  readonly expiresAtMs: number;
}

const tokenBytes = 18;

/** As long as an interaction waits for its user. */
export const flowSeconds = 3_600;

/**
 * Keeps the state of interactions with the browsers that they are in: encrypted, since there is an address in it that the
 * next user of the browser is not to read, and bound to its interaction.
 */
export class FlowStates {
  readonly #secrets: Pick<InstallationSecrets, 'current' | 'generations'>;
  readonly #nowMs: () => number;
  readonly #subkeys = new WeakMap<Uint8Array, Buffer>();

  constructor(secrets: Pick<InstallationSecrets, 'current' | 'generations'>, nowMs: () => number) {
    this.#secrets = secrets;
    this.#nowMs = nowMs;
  }

  /** Of an interaction whose first page is about to be shown. */
  begin(): FlowState {
    const token = randomBytes(tokenBytes).toString('base64url');
    return {
      token,
      asks: 'address',
      address: null,
      isMailed: false,
      resendAtMs: 0,
      isCodeSpent: false,
      said: null,
    };
  }

  /** The value of the cookie. */
  seal(place: FlowPlace, state: FlowState): string {
    const sealed: SealedState = { ...state, expiresAtMs: this.#nowMs() + flowSeconds * 1000 };
    const key = this.#subkeyOf(this.#secrets.current('cookie').key);
    return sealEnvelope(key, Buffer.from(JSON.stringify(sealed)), placeOf(place)).toString('base64url');
  }

  /** What a cookie says that was sealed here; null for any other, and for one that is too old. */
  open(place: FlowPlace, cookie: string | undefined): FlowState | null {
    if (cookie === undefined) return null;
    const envelope = Buffer.from(cookie, 'base64url');
    for (const { key } of this.#secrets.generations('cookie')) {
      try {
        const plain = openEnvelope(this.#subkeyOf(key), envelope, placeOf(place));
        const { expiresAtMs, ...state } = JSON.parse(plain.toString('utf8')) as SealedState;
        return expiresAtMs > this.#nowMs() ? state : null;
      } catch (error) {
        if (!(error instanceof EnvelopeError)) throw error;
      }
    }
    return null;
  }

  #subkeyOf(key: Uint8Array): Buffer {
    let subkey = this.#subkeys.get(key);
    if (subkey === undefined) {
      subkey = deriveSubkey(key, 'login flow');
      this.#subkeys.set(key, subkey);
    }
    return subkey;
  }
}

/** Whether a form was made for the holder of this state. In constant time. */
export function isTokenOf({ token }: FlowState, shown: string | null): boolean {
  const [one, other] = [Buffer.from(token), Buffer.from(shown ?? '')];
  return one.length === other.length && timingSafeEqual(one, other);
}

function placeOf({ issuerId, uid }: FlowPlace): string {
  return `login flow ${issuerId} ${uid}`;
}
