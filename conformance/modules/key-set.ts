import type { JSONWebKeySet } from 'jose';
import type { Trial } from '../suite/trial.ts';

/** Members that make a key private, or that are a key which two sides share (RFC 7518 §6). */
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

const requiredMembers: Readonly<Record<string, readonly string[]>> = {
  RSA: ['n', 'e'],
  EC: ['crv', 'x', 'y'],
  OKP: ['crv', 'x'],
  AKP: ['alg', 'pub'],
};

const minRsaBits = 2_048;

/** Checks that a key set is of public keys that can be told apart (RFC 7517, Discovery §3). */
export function checkKeySet(trial: Trial, { keys }: JSONWebKeySet): void {
  trial.check(keys.length > 0, 'the key set is empty (Discovery §3)');
  for (const [index, key] of keys.entries()) {
    const which = `key ${key.kid ?? index}`;
    const members = Object.keys(key);
    const secret = privateMembers.filter((name) => members.includes(name));
    trial.check(
      secret.length === 0,
      `${which} shows ${secret.join(', ')}: private key material (Discovery §3)`,
    );
    const required = requiredMembers[key.kty ?? ''];
    trial.check(required !== undefined, `${which} is of an unknown or secret kind (RFC 7518 §6.1)`);
    const missing = (required ?? []).filter((name) => !members.includes(name));
    trial.check(missing.length === 0, `${which} lacks ${missing.join(', ')} (RFC 7518 §6)`);
    if (key.kty === 'RSA') trial.check(bitsOf(key.n) >= minRsaBits, `${which} is too short (RFC 7518 §3.3)`);
  }
  const kids = keys.map(({ kid }) => kid);
  trial.check(new Set(kids).size === kids.length, 'two keys have the same kid (RFC 7517 §4.5)');
  trial.check(keys.length === 1 || !kids.includes(undefined), 'a key of several has no kid (Core §10.1)');
}

function bitsOf(modulus: string | undefined): number {
  const bytes = Buffer.from(modulus ?? '', 'base64url');
  const first = bytes.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first]!) + 24;
}
