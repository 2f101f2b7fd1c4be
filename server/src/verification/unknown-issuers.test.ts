import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { startTestServer } from '../../test/harness/server.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

test('an issuer that there is none of is remembered without the request that named it', async () => {
  // Attack: forward auth for made-up issuers, without any key, each in a head of many kilobytes. An id is a part of its
  // head, and a part of a text keeps the whole of it in memory: for each of the ten thousand that are remembered.
  const server = await startTestServer();
  const { keys, freshness } = server.running.services;
  await expect.poll(() => freshness.mode).toBe('fresh');
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let index = 0; index < 3_000; index++) {
    const id = newId(idPrefixes.issuer);
    const head = Buffer.from(`${id} ${'a'.repeat(8_000)}`).toString('latin1');
    expect(await keys.findIssuer(head.slice(0, id.length))).toBeNull();
  }
  collectGarbage();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(12_000_000);
  await server.close();
});
