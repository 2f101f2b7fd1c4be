import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

let server: TestServer;
/** Nodes on the same database, behind proxies on this machine and in 10.0.0.0/8 and 2001:db8:aaaa::/48. */
let behindProxies: TestServer;
let direct: TestIssuer;
let proxied: TestIssuer;

beforeAll(async () => {
  server = await startTestServer();
  behindProxies = await startTestServer({
    nodeOf: server,
    env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32, 10.0.0.0/8, 2001:db8:aaaa::/48' },
  });
  direct = await TestIssuer.create(server, { preset: 'otp' });
  proxied = direct.at(behindProxies);
});
afterAll(async () => {
  await behindProxies.close();
  await server.close();
});

function forAddresses(...ips: string[]): Promise<TestKey> {
  return direct.createKey({ restrictions: { ips } });
}

/** What a node answers to a request that came this way: 200, or 403 for the address and for nothing else. */
async function statusAt(issuer: TestIssuer, key: TestKey, forwardedFor?: string | string[]): Promise<number> {
  const { status, body } = await issuer.authorize({
    'X-OTP-API-Key': key.secret,
    'X-Forwarded-Proto': 'https',
    ...(forwardedFor !== undefined && { 'X-Forwarded-For': forwardedFor }),
  });
  if (status !== 200)
    expect([status, body]).toEqual([403, { error: 'IP address not allowed', code: 'FORBIDDEN' }]);
  return status;
}

describe('a connection of one’s own', () => {
  test('is judged by its address', async () => {
    expect(await statusAt(direct, await forAddresses('127.0.0.1'))).toBe(200);
    expect(await statusAt(direct, await forAddresses('127.0.0.0/8', '203.0.113.7'))).toBe(200);
    expect(await statusAt(direct, await forAddresses('203.0.113.0/24', '::1'))).toBe(403);
    expect(await statusAt(direct, await forAddresses())).toBe(200);
  });

  test('is not believed about another address', async () => {
    // Attack: the address that a key is bound to is known, and sent along.
    const key = await forAddresses('203.0.113.7');
    for (const forwarded of ['203.0.113.7', '127.0.0.1, 203.0.113.7', '203.0.113.7, 127.0.0.1']) {
      expect(await statusAt(direct, key, forwarded)).toBe(403);
    }
    const { secret } = key;
    for (const name of ['X-Real-IP', 'Forwarded', 'True-Client-IP', 'CF-Connecting-IP', 'X-Client-IP']) {
      for (const issuer of [direct, proxied]) {
        const { status } = await issuer.authorize({
          'X-OTP-API-Key': secret,
          'X-Forwarded-Proto': 'https',
          [name]: name === 'Forwarded' ? 'for=203.0.113.7' : '203.0.113.7',
        });
        expect([name, status]).toEqual([name, 403]);
      }
    }
  });

  test('takes a change with the next request', async () => {
    const key = await forAddresses('203.0.113.7');
    expect(await statusAt(direct, key)).toBe(403);
    succeeded(await direct.api.patch(key.path, { restrictions: { ips: ['127.0.0.1'] } }));
    expect(await statusAt(direct, key)).toBe(200);
    succeeded(await direct.api.patch(key.path, { restrictions: { ips: ['203.0.113.7'] } }));
    expect(await statusAt(direct, key)).toBe(403);
  });
});

describe('behind trusted proxies', () => {
  test('the last address that none of them has is the client’s', async () => {
    const key = await forAddresses('203.0.113.7');
    for (const forwarded of [
      '203.0.113.7',
      '203.0.113.7, 10.1.2.3',
      '203.0.113.7,10.1.2.3,127.0.0.1,2001:db8:aaaa::7',
      '198.51.100.1, 203.0.113.7, 10.1.2.3',
      'unknown, 203.0.113.7',
      '  203.0.113.7  ,, 10.1.2.3',
    ]) {
      expect([forwarded, await statusAt(proxied, key, forwarded)]).toEqual([forwarded, 200]);
    }
    expect(await statusAt(proxied, key, ['198.51.100.1', '203.0.113.7', '10.1.2.3'])).toBe(200);
  });

  test('what stands further left anyone could have written', async () => {
    // Attack: the client sends an X-Forwarded-For of its own, which each proxy only adds to.
    const key = await forAddresses('203.0.113.7', '10.0.0.0/8');
    for (const forwarded of [
      '203.0.113.7, 198.51.100.1',
      '203.0.113.7, 198.51.100.1, 10.1.2.3',
      '10.9.9.9, 198.51.100.1, 10.1.2.3',
      '203.0.113.7, unknown',
      '203.0.113.7, unknown, 10.1.2.3',
      '203.0.113.7, 203.0.113.7.evil.example',
      '203.0.113.7, 0313.0.113.7',
    ]) {
      expect([forwarded, await statusAt(proxied, key, forwarded)]).toEqual([forwarded, 403]);
    }
    expect(await statusAt(proxied, key, ['203.0.113.7', '198.51.100.1'])).toBe(403);
  });

  test('a request that comes from a proxy itself has the proxy’s address', async () => {
    const key = await forAddresses('127.0.0.1');
    expect(await statusAt(proxied, key)).toBe(200);
    expect(await statusAt(proxied, key, '')).toBe(200);
    expect(await statusAt(proxied, await forAddresses('203.0.113.7'))).toBe(403);
    expect(await statusAt(proxied, await forAddresses('10.1.2.3'), '10.1.2.3, 10.4.5.6')).toBe(200);
  });

  // Attack: one address in many spellings passes a restriction that was written in another.
  test.each([
    ['203.0.113.7'],
    ['::ffff:203.0.113.7'],
    ['::FFFF:203.0.113.7'],
    ['::ffff:cb00:7107'],
    ['::ffff:CB00:7107'],
    ['0:0:0:0:0:ffff:203.0.113.7'],
    ['0:0:0:0:0:ffff:cb00:7107'],
    ['0000:0000:0000:0000:0000:ffff:cb00:7107'],
    // Some proxies, such as Azure's, write the client's port as well.
    ['203.0.113.7:4711'],
    ['[::ffff:203.0.113.7]:4711'],
  ])('IPv4 written %s is one address', async (spelling) => {
    expect(await statusAt(proxied, await forAddresses('203.0.113.7'), spelling)).toBe(200);
    expect(await statusAt(proxied, await forAddresses('203.0.113.0/24'), spelling)).toBe(200);
    expect(await statusAt(proxied, await forAddresses('203.0.113.8'), spelling)).toBe(403);
    // A proxy's too: each of its spellings is stepped over.
    const asProxy = spelling.replace('203.0.113.7', '10.1.2.3').replace(/cb00:7107/i, '0a01:0203');
    const forwarded = `203.0.113.7, ${asProxy}`;
    expect(await statusAt(proxied, await forAddresses('203.0.113.7'), forwarded)).toBe(200);
  });

  test.each([
    ['2001:db8::a:1'],
    ['2001:DB8::A:1'],
    ['2001:db8:0:0:0:0:a:1'],
    ['2001:0db8:0000:0000:0000:0000:000a:0001'],
    ['2001:db8:0::a:1'],
    ['2001:db8::0:a:1'],
    ['2001:db8::0.10.0.1'],
    ['2001:db8:0:0::a:1'],
    ['[2001:db8::a:1]'],
    ['[2001:db8::a:1]:4711'],
  ])('IPv6 written %s is one address', async (spelling) => {
    expect(await statusAt(proxied, await forAddresses('2001:db8::a:1'), spelling)).toBe(200);
    expect(await statusAt(proxied, await forAddresses('2001:db8::/64'), spelling)).toBe(200);
    expect(await statusAt(proxied, await forAddresses('2001:db8::a:2'), spelling)).toBe(403);
  });

  test('what is no address is in no range, however much it looks like one', async () => {
    const key = await forAddresses('0.0.0.0/0', '::/0');
    for (const forwarded of ['unknown', '203.0.113', '3405803783', '0xcb007107', '203.0.113.7:x', '_x']) {
      expect([forwarded, await statusAt(proxied, key, forwarded)]).toEqual([forwarded, 403]);
    }
    expect(await statusAt(proxied, key, '203.0.113.7')).toBe(200);
  });
});
