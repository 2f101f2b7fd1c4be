import { expect, test, vi } from 'vitest';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';

test('503 while a report can’t be kept, whatever was reported; what was answered 202 is never lost', async () => {
  const server = await startTestServer();
  const rows = await Rows.open(server.database);
  const proxy = await PostgresProxy.start(server.database.appUrl);
  const node = await startTestServer({
    nodeOf: server,
    env: { DATABASE_URL: proxy.url(server.database.appUrl) },
  });
  const { api } = server.operator;
  const report = (secret: string) => node.operator.api.as(null).post('/v1/keys/report-leak', { secret });
  const statusOf = async (path: string) => (await api.get(path)).body.data.status;
  const [before, during, after] = [
    await createKey(api, '/v1/api-keys'),
    await createKey(api, '/v1/api-keys'),
    await createKey(api, '/v1/api-keys'),
  ];

  await proxy.refuse();
  const refusals = [await report(during.secret), await report('garbage')];
  for (const { status, body, headers } of refusals)
    expect([status, body.code, headers.get('Retry-After')]).toEqual([503, 'unavailable', '1']);
  const [ofKey, ofGarbage] = refusals.map(({ body }) => ({ ...body, request_id: '' }));
  expect(ofKey).toEqual(ofGarbage);
  await proxy.open();
  await vi.waitFor(async () => expect((await report(before.secret)).status).toBe(202), { timeout: 20_000 });
  await vi.waitFor(async () => expect(await statusOf(before.path)).toBe('revoked'), { timeout: 10_000 });
  expect(await statusOf(during.path)).toBe('active');

  // Cut right after the row is there: the job of that node never comes to it, and the other node's does.
  proxy.cutAfter('insert into "leak_reports"');
  const cut = await report(after.secret);
  await proxy.refuse();
  expect([202, 503]).toContain(cut.status);
  await vi.waitFor(async () => expect(await statusOf(after.path)).toBe('revoked'), { timeout: 10_000 });
  expect(await rows.query('select from leak_reports')).toEqual([]);

  await node.close();
  await proxy.close();
  await rows.close();
  await server.close();
});
