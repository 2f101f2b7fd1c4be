import { createSecretKey, type KeyObject } from 'node:crypto';

const keyObjects = new WeakMap<Uint8Array, KeyObject>();

/**
 * The bytes of a secret as the key of an HMAC. Given bytes, Node makes a key of them for each HMAC: 10 µs instead of 2,
 * which a flood of made-up keys would cost us.
 *
 * @param key must not change afterwards
 */
export function hmacKeyOf(key: Uint8Array): KeyObject {
  let object = keyObjects.get(key);
  if (object === undefined) {
    object = createSecretKey(key);
    keyObjects.set(key, object);
  }
  return object;
}
