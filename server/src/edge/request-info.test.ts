import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { type EdgeInfo, RequestInfoReader } from './request-info.ts';

const reader = new RequestInfoReader(['10.0.0.0/8', '2001:db8:1::/48']);

function read(
  remoteAddress: string | undefined,
  headers: Record<string, string>,
  socket = new Socket(),
): EdgeInfo {
  Object.defineProperty(socket, 'remoteAddress', { value: remoteAddress });
  return reader.read({ socket, headers } as unknown as IncomingMessage);
}

const clientOf = (forwardedFor: string) => read('10.0.0.1', { 'x-forwarded-for': forwardedFor }).ip;

describe('the client behind trusted proxies', () => {
  test.each([
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7, 10.9.9.9', '203.0.113.7'],
    ['203.0.113.7,10.9.9.9,10.1.1.1', '203.0.113.7'],
    ['203.0.113.7, 2001:db8:1::5', '203.0.113.7'],
    ['10.3.3.3, 10.2.2.2', '10.3.3.3'],
    ['203.0.113.7, ,', '203.0.113.7'],
    ['', '10.0.0.1'],
    [' , ,', '10.0.0.1'],
  ])('%j is the first from the right that is none of them', (list, client) => {
    expect(clientOf(list)).toBe(client);
  });

  test('is not who the client says it is', () => {
    // Attack: a client writes an address that a restriction allows into the header before the proxy adds its own.
    expect(clientOf('198.51.100.1, 203.0.113.7')).toBe('203.0.113.7');
    expect(clientOf('198.51.100.1, nonsense')).toBe('nonsense');
    expect(clientOf('198.51.100.1, 203.0.113.7, 10.1.1.1')).toBe('203.0.113.7');
  });

  test.each([
    ['203.0.113.7:4711', '203.0.113.7'],
    ['[2001:db8::7]:4711', '2001:db8::7'],
    ['[2001:DB8:0::7]', '2001:db8::7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['[::ffff:203.0.113.7]:1', '203.0.113.7'],
    ['203.0.113.7, 10.9.9.9:80', '203.0.113.7'],
    ['203.0.113.7, [2001:db8:1::5]:443', '203.0.113.7'],
    ['2001:db8::7', '2001:db8::7'],
  ])('%s is one address however it is spelled', (list, client) => {
    expect(clientOf(list)).toBe(client);
  });

  test.each(['203.0.113.7:', '203.0.113.7:123456', '[203.0.113.7', 'unknown', '_hidden', '010.0.0.1:80'])(
    '%s is no address, and taken for none',
    (hop) => expect(clientOf(`198.51.100.1, ${hop}`)).toBe(hop),
  );

  test('is found without reading what stands left of it, nor a list without end', () => {
    // Attack: a header full of addresses keeps the server busy with reading them.
    expect(clientOf(`${'::1, '.repeat(3_000)}203.0.113.7`)).toBe('203.0.113.7');
    // Past 32 hops of our own nobody is asked any more.
    expect(clientOf(`203.0.113.7${', 10.1.1.1'.repeat(31)}`)).toBe('203.0.113.7');
    expect(clientOf(`203.0.113.7, 10.2.2.2${', 10.1.1.1'.repeat(31)}`)).toBe('10.2.2.2');
    expect(clientOf(`203.0.113.7${', 10.1.1.1'.repeat(3_000)}`)).toBe('10.1.1.1');
    expect(clientOf('x'.repeat(9_000))).toHaveLength(64);
  });

  test('is the peer where the peer is no trusted proxy', () => {
    expect(read('203.0.113.9', { 'x-forwarded-for': '198.51.100.1' }).ip).toBe('203.0.113.9');
  });
});

describe('TLS', () => {
  test('at our own socket counts whatever a trusted proxy says of its own', () => {
    const tls = () => new TLSSocket(new Socket());
    expect(read('10.0.0.1', {}, tls()).isSecure).toBe(true);
    expect(read('10.0.0.1', { 'x-forwarded-proto': 'http' }, tls()).isSecure).toBe(true);
    expect(read('203.0.113.7', {}, tls()).isSecure).toBe(true);
  });

  test('in front of us is the last word of a trusted proxy alone', () => {
    const isSecure = (peer: string, protocol: string) =>
      read(peer, { 'x-forwarded-proto': protocol }).isSecure;
    expect(isSecure('10.0.0.1', 'http, https')).toBe(true);
    expect(isSecure('10.0.0.1', 'https, http')).toBe(false);
    expect(isSecure('203.0.113.7', 'https')).toBe(false);
  });
});

test('a connection without an address is not of this machine', () => {
  // Attack: a connection that is reset at once has lost its address when its request is read.
  expect(read(undefined, {}).isLoopback).toBe(false);
  expect(read('', {}).isLoopback).toBe(false);
  expect(read('::ffff:127.0.0.1', {}).isLoopback).toBe(true);
});
