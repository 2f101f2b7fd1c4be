import { afterAll, expect, test } from 'vitest';
import { startTestServer } from '../../test/harness/server.ts';
import { StoppablePostgres } from '../../test/harness/stoppable-postgres.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';

const postgres = await StoppablePostgres.start();
const server = await startTestServer({
  env: { DATABASE_URL: postgres.appUrl, GATELODGE_STALE_SECONDS: '3' },
});
afterAll(async () => {
  await server.close();
  await postgres[Symbol.asyncDispose]();
});
const { services } = server.running;
const create = async (): Promise<string> =>
  (await server.operator.api.create('/v1/issuers', { name: 'Acme API' })).id;

test('cut off from Postgres a node goes on with the keys that it holds, then answers 503, and recovers', async () => {
  const [known, unknown] = [await create(), await create()];
  await expect.poll(() => services.freshness.mode, { timeout: 20_000 }).toBe('fresh');
  const now = Math.floor(Date.now() / 1000);
  const iss = issuerUrl(services.settings, known);
  const claims = { iss, sub: 'usr_1', aud: iss, exp: now + 600, iat: now, jti: 'a', client_id: 'otp' };
  const token = await services.signingKeys.sign({ id: known }, { ...claims, environment: 'live' }, 'at+jwt');
  const jwks = (id: string) => server.operator.api.as(null).get(`/${id}/jwks.json`);
  const before = await jwks(known);
  expect(before.status).toBe(200);

  await postgres.stop();
  await expect.poll(async () => (await jwks(unknown)).status, { timeout: 5_000 }).toBe(503);
  const answer = await jwks(unknown);
  expect([answer.body.code, answer.headers.get('Cache-Control')]).toEqual(['unavailable', 'no-store']);
  expect(answer.headers.get('Retry-After')).toMatch(/^\d+$/);
  expect(answer.headers.get('Access-Control-Allow-Origin')).toBe('*');
  expect((await jwks(known)).text).toBe(before.text);
  expect(await services.signingKeys.verify(known, token, Date.now())).toMatchObject({ ok: true });

  await expect.poll(async () => (await jwks(known)).status, { timeout: 20_000 }).toBe(503);
  await expect(services.signingKeys.verify(known, token, Date.now())).rejects.toMatchObject({
    code: 'unavailable',
  });

  await postgres.startAgain();
  await expect.poll(async () => (await jwks(unknown)).status, { timeout: 20_000 }).toBe(200);
  expect((await jwks(known)).text).toBe(before.text);
});
