import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { newAddress, SignIn } from '../../test/harness/otp-client.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

/*
 * Attack: somebody sends the headers while the key is good, and the body once it, its issuer or its organization is not.
 */

const clock = new TestClock();
const server = await startTestServer({ clock });
afterAll(() => server.close());

/** Longer than a body takes that is not held back. */
const heldMs = 600;

async function heldBack({ secret }: TestKey, change: () => Promise<unknown>): Promise<[number, string]> {
  const body = JSON.stringify({ email: newAddress() });
  const request = httpRequest(`${server.url}/auth/request-otp`, {
    method: 'POST',
    agent: false,
    headers: {
      Authorization: `Bearer ${secret}`,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    },
  });
  request.write(body.slice(0, 5));
  await sleep(heldMs);
  await change();
  request.end(body.slice(5));
  const [response] = await once(request, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const answer = JSON.parse(Buffer.concat(chunks).toString());
  return [response.statusCode as number, answer.code];
}

async function situation() {
  const { api } = await createCustomer(server);
  const issuer = await TestIssuer.create(server, { preset: 'otp' }, {}, api);
  return { api, issuer };
}

describe('a body that comes late finds the caller as it is by then', () => {
  test('passes where nothing has changed', async () => {
    const { issuer } = await situation();
    expect((await heldBack(await issuer.createKey(), async () => {}))[0]).toBe(200);
  });

  test('the key is revoked', async () => {
    const { api, issuer } = await situation();
    const key = await issuer.createKey();
    const answer = await heldBack(key, async () => succeeded(await api.post(`${key.path}/revoke`)));
    expect(answer).toEqual([401, 'UNAUTHORIZED']);
  });

  test('the issuer is suspended', async () => {
    const { api, issuer } = await situation();
    const key = await issuer.createKey();
    const answer = await heldBack(key, async () => succeeded(await api.post(`${issuer.path}/suspend`)));
    expect(answer).toEqual([403, 'FORBIDDEN']);
  });

  test('the sandbox twin is suspended', async () => {
    const { api, issuer } = await situation();
    const key = await issuer.createKey({ environment: 'sandbox' });
    expect((await SignIn.withKey(server, key).request(newAddress())).status).toBe(200);
    const { sandbox_issuer_id: twin } = (await api.get(issuer.path)).body.data;
    const answer = await heldBack(key, async () => succeeded(await api.post(`/v1/issuers/${twin}/suspend`)));
    expect(answer).toEqual([403, 'FORBIDDEN']);
  });

  test('the organization is suspended', async () => {
    const { api, issuer } = await situation();
    const { id } = await issuer.createOrganization();
    const key = await issuer.createKey({}, id);
    const answer = await heldBack(key, async () =>
      succeeded(await api.post(`${issuer.path}/organizations/${id}/suspend`)),
    );
    expect(answer).toEqual([403, 'FORBIDDEN']);
  });
});
