import { afterAll, expect, test } from 'vitest';
import { otpLimits } from '../src/otp/otp-limits.ts';
import { newAddress, SignIn } from './harness/otp-client.ts';
import { startTestServer, TestClock } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

/*
 * Attack: mails are to be sent without end from one machine, which gives itself another address for each: by words that a
 * proxy would say, by another spelling of its own, or by another of the 2^64 addresses that come with it.
 */

const clock = new TestClock();
const proxied = await startTestServer({
  clock,
  env: {
    GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32',
  },
});
const direct = await startTestServer({ clock });
afterAll(async () => {
  await proxied.close();
  await direct.close();
});

const most = otpLimits.ipMailsAnHour;

function behindProxy(ip: string): Record<string, string> {
  return { 'X-Forwarded-For': ip, 'X-Forwarded-Proto': 'https' };
}

// One for all: those that ask for codes differ by nothing but their addresses.
async function appOf(server: typeof proxied): Promise<SignIn> {
  const api = server.operator.api;
  if (server === proxied) {
    const { operator } = proxied;
    const authorization = `Basic ${Buffer.from(`${operator.key.id}:${operator.key.secret}`).toString('base64')}`;
    const ask = async (path: string, body: object) => {
      const response = await fetch(proxied.url + path, {
        method: 'POST',
        headers: {
          Authorization: authorization,
          'Content-Type': 'application/json',
          ...behindProxy('192.0.2.200'),
        },
        body: JSON.stringify(body),
      });
      return ((await response.json()) as { data: { id: string; secret_plain: string } }).data;
    };
    // A sandbox issuer’s, so that it takes no mail server.
    const { id } = await ask('/v1/issuers', { name: 'Acme', environment: 'sandbox' });
    return SignIn.withKey(server, { secret: (await ask(`/v1/issuers/${id}/api-keys`, {})).secret_plain });
  }
  const issuer = await TestIssuer.create(server, {}, {}, api);
  return SignIn.withKey(server, await issuer.createKey());
}

async function passed(app: SignIn, addresses: readonly Record<string, string>[]): Promise<number> {
  let count = 0;
  for (const headers of addresses) {
    const { status } = await app.request(newAddress(), { headers });
    if (status === 200) count++;
    else expect(status).toBe(429);
  }
  return count;
}

test('what nobody trusted says of an address is not heard', async () => {
  const app = await appOf(direct);
  const forged = Array.from({ length: most + 5 }, (_, index) => ({
    'X-Forwarded-For': `198.51.100.${index}`,
    Forwarded: `for=198.51.100.${index}`,
    'X-Real-IP': `198.51.100.${index}`,
  }));
  expect(await passed(app, forged)).toBe(most);
});

test('every spelling of every address of a /64 is one, behind a proxy that is trusted', async () => {
  const app = await appOf(proxied);
  const spellings = [
    '2001:db8:0:1::1',
    '2001:0db8:0000:0001:0000:0000:0000:0001',
    '2001:DB8:0:1::1',
    '2001:db8:0:1:0:0:0:1',
    '2001:db8:0:1::192.0.2.7',
    '2001:db8:0:1:ffff:ffff:ffff:ffff',
    '[2001:db8:0:1::1]:443',
    '2001:db8:0:1::2',
  ];
  const headers = Array.from({ length: most + 20 }, (_, index) =>
    // What stands left of it the client has written itself.
    behindProxy(`198.51.100.${index}, ${spellings[index % spellings.length]}`),
  );
  expect(await passed(app, headers)).toBe(most);
  expect(await passed(app, [behindProxy('2001:db8:0:2::1')])).toBe(1);
});
