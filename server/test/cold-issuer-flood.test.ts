import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { idPrefixes, newId } from '../src/ids/ids.ts';
import { createCustomer } from './harness/customer.ts';
import { newAddress, SignIn } from './harness/otp-client.ts';
import { type RawAnswer, send } from './harness/raw-http.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { signIn } from './harness/sign-in.ts';
import { SlowLookups } from './harness/slow-lookups.ts';
import { TestIssuer } from './harness/test-issuer.ts';

/*
 * Attack: without any credential, ask for the keys of issuers that there are none of, as fast as the wire takes it, and of
 * the victim's too. Who has to be looked up stands in the same line: the users of every issuer that this node has not in
 * memory are told to come back, and so may they be again.
 */

const server = await startTestServer();
let node: TestServer;
let stop = async () => {};
// Nothing is in the memory of a node that has just been started.
beforeEach(async () => {
  node = await startTestServer({
    nodeOf: server,
    env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' },
  });
  return async () => {
    await stop();
    await node.close();
  };
});
afterAll(() => server.close());

const { api } = await createCustomer(server);

async function newUser() {
  const issuer = await TestIssuer.create(server, { preset: 'otp' }, {}, api);
  const user = await api.create(`${issuer.path}/users`, { username: newAddress() });
  return { issuer, user, session: await signIn(server, issuer.id, user.id) };
}

type Ask = (issuerId: string) => Promise<RawAnswer>;

const askForKeys: Ask = (id) => send(`${node.url}/${id}/jwks.json`, { headers: from('203.0.113.8') });

/** Keeps more strangers waiting at the node than it lets wait, until `stop`. */
async function flood(ask: Ask, victimId: string, slow: SlowLookups): Promise<void> {
  let goesOn = true;
  let turnedAway = 0;
  const isFull = Promise.withResolvers<void>();
  const strangers = Array.from({ length: 250 }, async (_, index) => {
    while (goesOn) {
      const { status } = await ask(index % 50 === 49 ? victimId : newId(idPrefixes.issuer));
      if (status !== 503) continue;
      // No longer all in step: there is no moment at which nobody waits.
      if (++turnedAway === 500) isFull.resolve();
      await sleep(index % 50);
    }
  });
  const ended = Promise.all(strangers);
  stop = async () => {
    goesOn = false;
    slow[Symbol.dispose]();
    await ended;
  };
  await Promise.race([isFull.promise, ended]);
}

const from = (ip: string) => ({ 'X-Forwarded-For': ip, 'X-Forwarded-Proto': 'https' });
const bearer = (token: string) => ({ ...from('203.0.113.7'), Authorization: `Bearer ${token}` });
const post = (path: string, body: object, headers = {}): Promise<RawAnswer> =>
  send(node.url + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...from('203.0.113.7'), ...headers },
    body: JSON.stringify(body),
  });

/** Every look-up of an issuer by strangers takes long; those of users are quick. */
function slowForStrangers(victims: readonly string[]): SlowLookups {
  return new SlowLookups(
    node,
    (name, [id]) => name === 'lookup_issuer_v2' && !victims.includes(String(id)),
    400,
  );
}

test('users of an issuer that the node does not know yet are served through a flood of strangers', async () => {
  const [one, two] = [await newUser(), await newUser()];
  const ids = [one.issuer.id, two.issuer.id];
  const key = await two.issuer.createKey();
  const code = await SignIn.withKey(server, key).code(two.user.username);
  using slow = slowForStrangers(ids);
  await flood(askForKeys, one.issuer.id, slow);
  const me = await send(`${node.url}/auth/me`, { headers: bearer(one.session.token) });
  expect([me.status, me.text]).toEqual([200, expect.stringContaining(one.user.id)]);
  const refreshed = await post('/auth/refresh', { refresh_token: two.session.refresh_token });
  expect(refreshed.status).toBe(200);
  const signedIn = await post(
    '/auth/verify-otp',
    { email: two.user.username, otp: code },
    bearer(key.secret),
  );
  expect(signedIn.status).toBe(200);
});

test('what strangers are told to wait for, tokens of the same issuer are not', async () => {
  const { issuer, user, session } = await newUser();
  // Strangers ask for this issuer's own keys, which stand behind all the others.
  using slow = slowForStrangers([]);
  await flood(askForKeys, issuer.id, slow);
  const [me, refreshed] = await Promise.all([
    send(`${node.url}/auth/me`, { headers: bearer(session.token) }),
    post('/auth/refresh', { refresh_token: session.refresh_token }),
  ]);
  expect([me.status, me.text]).toEqual([200, expect.stringContaining(user.id)]);
  expect(refreshed.status).toBe(200);
});

// Attack: write tokens that name issuers that there are none of; before those are looked up nobody knows who made them.
test('tokens that somebody else has made up keep those of no other network waiting', async () => {
  const { issuer, user, session } = await newUser();
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const made: Ask = (id) => {
    const iss = `${node.running.services.settings.publicUrl}/${id}`;
    const token = `${part({ alg: 'ES256', typ: 'at+jwt' })}.${part({ iss })}.${'A'.repeat(86)}`;
    return send(`${node.url}/auth/me`, { headers: { ...bearer(token), ...from('203.0.113.8') } });
  };
  using slow = slowForStrangers([issuer.id]);
  await flood(made, issuer.id, slow);
  const me = await send(`${node.url}/auth/me`, { headers: bearer(session.token) });
  expect([me.status, me.text]).toEqual([200, expect.stringContaining(user.id)]);
});
