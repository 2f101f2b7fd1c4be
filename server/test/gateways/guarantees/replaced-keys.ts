import { describe, expect, test } from 'vitest';
import { succeeded } from '../../harness/test-issuer.ts';
import type { GatewayWorld, RequestHeaders } from '../gateway-world.ts';

/** Whoever uses a key that has a successor learns when it ends. */
export function describeReplacedKeys(world: GatewayWorld): void {
  const { ask } = world;
  const graceSeconds = 3_600;

  /** A key of acme that has just been rotated, and the headers that say so. */
  async function replacedKey() {
    const key = await world.issuer.createKey({}, world.tenants.acme.id);
    const rotated = await world.issuer.api.post(`${key.path}/rotate`, { grace_seconds: graceSeconds });
    const successor = succeeded(rotated).body.data;
    const nowMs = world.clock.nowMs();
    const told = {
      deprecation: `@${Math.floor(nowMs / 1000)}`,
      sunset: new Date(nowMs + graceSeconds * 1000).toUTCString(),
    };
    const of = (secret: string): RequestHeaders => ({ 'x-api-key': secret, 'x-tn': 'tenant_acme' });
    return { old: of(key.secret), successor: of(successor.secret_plain), told };
  }

  const toldBy = (names: readonly string[]) =>
    names.map((name) => name.toLowerCase()).filter((name) => name === 'deprecation' || name === 'sunset');

  describe('a key that is being replaced', () => {
    test('is told so on its answers, and its successor is not', async () => {
      const { old, successor, told } = await replacedKey();
      const answer = await ask(old);
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject(told);
      expect(toldBy(answer.headerNames)).toHaveLength(2);
      expect(toldBy((await ask(successor)).headerNames)).toEqual([]);
    });

    test('is told so where the API has an end of its own to tell, once', async () => {
      const { old, successor, told } = await replacedKey();
      const ends = { deprecation: '@1735689600', sunset: 'Fri, 01 Jan 2027 00:00:00 GMT' };
      expect((await ask(successor, '/ending')).headers).toMatchObject(ends);
      const answer = await ask(old, '/ending');
      expect(answer.headers).toMatchObject(told);
      expect(toldBy(answer.headerNames)).toHaveLength(2);
    });
  });
}
