import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcClient } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

/** Receivers: what comes to /silent is not answered before the test says so. */
const silent = new Set<ServerResponse>();
let mostSilent = 0;
let told = 0;
const receiver = createServer((request, response) => {
  if (request.url === '/silent') {
    silent.add(response);
    mostSilent = Math.max(mostSilent, silent.size);
    response.on('close', () => silent.delete(response));
    return;
  }
  told++;
  response.writeHead(200).end();
});
await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
const receiverUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
const server = await startTestServer({ env: { GATELODGE_OUTBOUND_ALLOW: '127.0.0.1/32' } });
const rows = await Rows.open(server.database);
afterAll(async () => {
  receiver.closeAllConnections();
  receiver.close();
  await rows.close();
  await server.close();
});

/** A client of an account of its own, of which so many sessions have ended. */
async function endedSessions(path: string, count: number): Promise<string> {
  const { id, api } = await createCustomer(server);
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const client = await OidcClient.create(server, issuer, {
    openid: { backchannel_logout_uri: receiverUrl + path },
  });
  await rows.query(
    `insert into logout_notices (id, account_id, issuer_id, client_id, user_id, session_id, created_at, due_at)
      select 'ln' || $1 || n, $2, $3, $4, 'usr_1', 's_' || n, now(), now() from generate_series(1, $5) as n`,
    [path, id, issuer.id, client.id, count],
  );
  return id;
}

// Attack: an account whose receivers take a call and say nothing keeps everybody's clients from being told.
test('nobody waits for receivers of others that do not answer', async () => {
  const deaf = await endedSessions('/silent', 30);
  await expect.poll(() => silent.size, { timeout: 10_000, interval: 20 }).toBe(4);
  const others = await Promise.all(['/a', '/b', '/c'].map((path) => endedSessions(path, 20)));
  // All sixty while the first four have still not been answered.
  await expect.poll(() => told, { timeout: 4_500, interval: 20 }).toBe(60);
  expect(mostSilent).toBe(4);
  const left = (accounts: readonly string[]) =>
    rows.query('select id from logout_notices where account_id = any ($1)', [accounts]);
  await expect.poll(() => left(others), { timeout: 5_000, interval: 20 }).toEqual([]);
  expect(await left([deaf])).toHaveLength(30);
});
