import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { presetNames } from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';
import { type Bootstrap, bootstrapPath } from './bootstrap.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = server.operator;

async function startDemo(): Promise<Bootstrap> {
  const node = await startTestServer({ nodeOf: server, demo: true });
  await node.close();
  return JSON.parse(await readFile(bootstrapPath(server.dataDir), 'utf8')) as Bootstrap;
}

describe('--demo', () => {
  test('also on an installation that has begun makes one issuer for each preset, once', async () => {
    const { result: bootstrap, events } = await rows.eventsOf(startDemo);
    expect(bootstrap.account_id).toBe(server.operator.accountId);
    expect(bootstrap.api_key).toEqual(server.operator.key);
    expect(bootstrap.demos!.map(({ preset }) => preset)).toEqual(presetNames);
    const byType = Object.entries(Object.groupBy(events, ({ type }) => type));
    const counted = Object.fromEntries(byType.map(([type, told]) => [type, told!.length]));
    const { length } = presetNames;
    expect(counted).toEqual({
      'issuer.created': length,
      'organization.created': length,
      'api-key.created': 2 * length,
    });

    const before = await rows.snapshot();
    expect(await startDemo()).toEqual(bootstrap);
    expect(await rows.snapshot()).toEqual(before);
  });

  test('makes them anew where none is left of those that the file tells of', async () => {
    // As a crash or a lost connection between the writing of the file and the commit leaves it.
    const path = bootstrapPath(server.dataDir);
    const { demos, ...bootstrap } = await startDemo();
    const lost = demos!.map((demo) => ({ ...demo, issuer_id: newId(idPrefixes.issuer) }));
    await writeFile(path, JSON.stringify({ ...bootstrap, demos: lost }));
    const mended = await startDemo();
    expect(mended).toMatchObject(bootstrap);
    expect(mended.demos!.map(({ preset }) => preset)).toEqual(presetNames);
    const [demo] = mended.demos!;
    expect((await api.get(`/v1/issuers/${demo!.issuer_id}`)).status).toBe(200);
    // One of them deleted is what somebody wanted.
    await api.delete(`/v1/issuers/${demo!.issuer_id}`);
    expect(await startDemo()).toEqual(mended);
    await writeFile(path, JSON.stringify({ ...bootstrap, demos }));
  });

  test('makes keys that work in the style of their preset, live and sandbox', async () => {
    const { demos } = await startDemo();
    for (const demo of demos!) {
      const issuer = `/v1/issuers/${demo.issuer_id}`;
      expect((await api.get(`${issuer}/key-profile`)).body.data).toEqual(presets[demo.preset]);
      for (const [environment, key] of Object.entries(demo.keys)) {
        const scheme = demo.key_header === 'Authorization' ? 'Bearer ' : '';
        const answer = await send(`${server.url}/v1/authorize/${demo.issuer_id}`, {
          headers: {
            [demo.key_header]: scheme + key.secret,
            ...(demo.tenant_header !== null && { [demo.tenant_header]: demo.organization.external_id }),
          },
        });
        expect([demo.preset, environment, answer.status]).toEqual([demo.preset, environment, 200]);
        expect(answer.headers).toMatchObject({
          'x-environment': environment.toUpperCase(),
          'x-gatelodge-key-id': key.id,
          'x-gatelodge-organization-id': demo.organization.id,
        });
      }
    }
  });
});
