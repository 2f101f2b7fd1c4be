import { afterAll, beforeAll, expect, test } from 'vitest';
import { createCustomer } from '../harness/customer.ts';
import { scaled } from '../harness/scale.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { TestIssuer } from '../harness/test-issuer.ts';
import { sendOver } from './gate.ts';

/*
 * Attack: a tenant sends as much as it can over as many connections as it gets, by several keys and every way in, so
 * that a limit which is checked first and counted later lets more through.
 */

const clock = new TestClock('2026-11-21T00:00:00.000Z');
const requests = scaled(4_000, 100_000);
const connections = 64;
const perHour = scaled(100, 1_000);
const perDay = scaled(1_000, 10_000);
const hours = 12;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ clock });
});
afterAll(() => server.close());

const two = (hour: number, day: number) => [
  { name: 'hour', limit: hour, window: 'hour' },
  { name: 'day', limit: day, window: 'day' },
];

test('exactly as many as the limits allow are admitted, by two keys and three ways in, and refusals take nothing', async () => {
  const plan = { name: 'exact', limits: { live: two(perHour, perDay), sandbox: [] } };
  await server.operator.api.create('/v1/plans', plan);
  const issuer = await TestIssuer.create(server);
  const organization = await issuer.createOrganization({ plan: 'exact' });
  const keys = await Promise.all([1, 2].map(() => issuer.createKey({}, organization.id)));
  const { id, secret } = server.operator.key;
  const caller = `Authorization: Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
  const host = 'Host: localhost';
  const ways = keys.flatMap((key) => {
    const body = JSON.stringify({ key: key.secret });
    return [
      `POST /v1/keys/verify HTTP/1.1\r\n${host}\r\n${caller}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      `GET /v1/authorize/${issuer.id} HTTP/1.1\r\n${host}\r\nX-API-Key: ${key.secret}\r\n\r\n`,
      `GET /v1/me HTTP/1.1\r\n${host}\r\nAuthorization: Bearer ${key.secret}\r\n\r\n`,
    ];
  });
  let admitted = 0;
  for (let hour = 0; hour < hours; hour++) {
    const each = Math.floor(requests / hours);
    let sent = 0;
    const count = await sendOver(server.url, connections, () =>
      sent < each ? ways[sent++ % ways.length]! : null,
    );
    expect(count.others).toEqual([]);
    const expected = Math.min(perHour, perDay - admitted);
    expect([hour, count.admitted, count.limited]).toEqual([hour, expected, each - expected]);
    admitted += count.admitted;
    clock.advance(3_600);
  }
  expect(admitted).toBe(perDay);
  // The next day all of it is there again.
  clock.advance((24 - hours) * 3_600);
  let sent = 0;
  const next = await sendOver(server.url, connections, () =>
    sent < perHour + 50 ? ways[sent++ % ways.length]! : null,
  );
  expect([next.admitted, next.limited]).toEqual([perHour, 50]);
});

test('the limits of organization, issuer and account hold at once, each over all that lies below it', async () => {
  const hourly = (limit: number) => ({
    live: [{ name: 'hour', limit, window: 'hour' }],
    sandbox: [],
  });
  await server.operator.api.create('/v1/plans', { name: 'whole-account', limits: hourly(90) });
  const customer = await createCustomer(server, { plan: 'whole-account' });
  await customer.api.create('/v1/plans', { name: 'issuer', limits: hourly(50) });
  await customer.api.create('/v1/plans', { name: 'organization', limits: hourly(20) });
  const issuers = await Promise.all(
    [1, 2].map(() => TestIssuer.create(server, {}, { plan: 'issuer' }, customer.api)),
  );
  const send = async (issuer: TestIssuer, secret: string, times: number) => {
    let sent = 0;
    const request = `GET /v1/authorize/${issuer.id} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${secret}\r\n\r\n`;
    const count = await sendOver(server.url, 8, () => (sent++ < times ? request : null));
    expect(count.others).toEqual([]);
    return count.admitted;
  };
  const [first, second] = issuers as [TestIssuer, TestIssuer];
  const organizations = [];
  for (let index = 0; index < 3; index++)
    organizations.push(await first.createOrganization({ plan: 'organization' }));
  const keys = await Promise.all(organizations.map(({ id }) => first.createKey({}, id)));
  // 20 by each organization, and by the third only what the issuer has left of its 50.
  expect(await send(first, keys[0]!.secret, 30)).toBe(20);
  expect(await send(first, keys[1]!.secret, 30)).toBe(20);
  expect(await send(first, keys[2]!.secret, 30)).toBe(10);
  // Of the account's 90 there are 40 left for its second issuer, which might use 50.
  expect(await send(second, (await second.createKey()).secret, 60)).toBe(40);
  // What the account refused took nothing from the issuer: with more for the account it is there.
  const raised = { limits: hourly(95) };
  expect((await server.operator.api.patch('/v1/plans/whole-account', raised)).status).toBe(200);
  expect(await send(second, (await second.createKey()).secret, 60)).toBe(5);
});
