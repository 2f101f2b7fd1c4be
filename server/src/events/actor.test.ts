import { describe, expect, test } from 'vitest';
import { actorOf } from './actor.ts';

const of = (ip: string, userAgent: string | null = null) =>
  actorOf({ keyId: 'key_1' }, { id: 'req_1', ip, userAgent });
const secret = `gl_live_sk_${'aB3'.repeat(14)}xY`;

describe('the address', () => {
  // The attack: a trusted proxy passes on whatever its client wrote, and a secret or a script stands in the trail.
  test.each(['', 'unknown', secret, '_hidden', '203.0.113.7.8', '<script>'])('%j is none', (text) => {
    expect(of(text).ip).toBeNull();
  });

  test.each([
    ['203.0.113.7', '203.0.113.7'],
    ['2001:DB8::0:1', '2001:db8::1'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
  ])('%s is written %s', (text, ip) => {
    expect(of(text).ip).toBe(ip);
  });
});

describe('the User-Agent', () => {
  test('holds no secret, wherever one stands in it', () => {
    // The attack: a client that was given its key as its name; the trail is read by more people than may hold the key.
    for (const userAgent of [
      secret,
      `curl/8 ${secret}`,
      `curl/8 (Bearer ${secret})`,
      `${'a '.repeat(250)}${secret}`,
      `x?token=${secret}`,
    ])
      for (let at = 0; at + 12 <= 33; at++)
        expect(of('', userAgent).user_agent).not.toContain(secret.slice(11 + at, 23 + at));
  });

  test('is kept as it is where nothing looks like one, up to 512 characters', () => {
    const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
    expect(of('', firefox).user_agent).toBe(firefox);
    expect(of('', 'a '.repeat(4000)).user_agent).toBe('a '.repeat(256));
    expect(of('', null).user_agent).toBeNull();
  });
});
