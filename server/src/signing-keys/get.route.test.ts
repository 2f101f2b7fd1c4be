import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const { id } = await api.create('/v1/issuers', { name: 'Acme API' });
const path = `/v1/issuers/${id}/signing-keys`;

test('200 with the key as the list has it, whose version moves when it gets a successor', async () => {
  const [listed] = (await api.get(path)).body.data;
  const answer = await api.get(`${path}/${listed.id}`);
  expect([answer.status, answer.body.data]).toEqual([200, listed]);
  await api.create(`${path}/rotate`);
  const rotated = await api.get(`${path}/${listed.id}`);
  expect(rotated.headers.get('ETag')).not.toBe(answer.headers.get('ETag'));
  expect(rotated.body.data.retires_at).not.toBeNull();
});

describe('404', () => {
  test('under another issuer of the account', async () => {
    const other = await api.create('/v1/issuers', { name: 'other' });
    const [listed] = (await api.get(path)).body.data;
    const answer = await api.get(`/v1/issuers/${other.id}/signing-keys/${listed.id}`);
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
  });
});
