import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { probePort } from './port-probe.ts';
import { exitCodes, StartError } from './start-error.ts';

it('names a taken port and the setting that changes it, and leaves a free one free', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  const failure = await probePort('127.0.0.1', port).catch((error) => error);
  expect(failure).toBeInstanceOf(StartError);
  expect(failure.exitCode).toBe(exitCodes.unavailable);
  expect(failure.message).toContain(String(port));
  expect(failure.hint).toContain('GATELODGE_PORT');
  holder.close();
  await once(holder, 'close');
  await probePort('127.0.0.1', port);
  await probePort('127.0.0.1', port);
});

it('says that an address is not of this machine', async () => {
  const failure = await probePort('192.0.2.1', 4600).catch((error) => error);
  expect(failure).toBeInstanceOf(StartError);
  expect(failure.hint).toContain('GATELODGE_HOST');
});
