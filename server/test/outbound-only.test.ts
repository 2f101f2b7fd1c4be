import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { receiverCertificate } from './harness/certificate.ts';
import { DnsServer } from './harness/dns-server.ts';
import { Receiver, receiverAddress, receiverNetwork } from './harness/receiver.ts';
import { startTestServer } from './harness/server.ts';

const source = fileURLToPath(new URL('../src', import.meta.url));

/** Ways out that know nothing of the guard. */
const unguarded = [
  /(?<![.#\w])fetch\(/,
  /\bglobalThis\.fetch\b/,
  /\bfrom 'undici'/,
  /import \{[^}]*\b(?:request|get|Agent)\b[^}]*\} from 'node:https?'/,
  /import \{[^}]*\b(?:connect|createConnection|Socket|TLSSocket)\b[^}]*\} from 'node:(?:net|tls)'/,
  /\bfrom 'node:(?:dns|dns\/promises|http2)'/,
];
/** What only tells a connection’s type, and `fetch` where it is a name of ours. */
const harmless = /import type [^;]*;|\btype \w+|async fetch\(|instanceof \w+/g;

test('nothing of the server calls others but the guarded client', () => {
  // The attack: a feature that fetches by itself is one more way inside.
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !/^outbound\/|\/fixtures\//.test(name),
  );
  const found = files.filter((name) => {
    const text = readFileSync(join(source, name), 'utf8').replaceAll(harmless, '');
    return unguarded.some((way) => way.test(text));
  });
  // Reads the address of a TLS connection that has come in.
  expect(found).toEqual(['edge/request-info.ts']);
});

test('a server calls what its settings allow, and stops without waiting for who does not answer', async () => {
  await using dns = await DnsServer.start();
  await using receiver = await Receiver.start({
    answer: (request, response) => void (request.url === '/slow' || response.end('ok')),
  });
  dns.set('receiver.test', [receiverAddress]);
  const server = await startTestServer({
    env: { GATELODGE_OUTBOUND_ALLOW: receiverNetwork },
    outbound: { dnsServers: [dns.address], ca: receiverCertificate.cert },
  });
  const { outbound } = server.running.services;
  const call = (path: string) =>
    outbound.fetch(receiver.url(path, 'receiver.test'), { accountId: server.operator.accountId });
  expect((await call('/hook')).body.toString()).toBe('ok');
  const slow = call('/slow').catch((error: unknown) => error);
  await vi.waitFor(() => expect(receiver.received).toHaveLength(2));
  await server.close();
  expect(await slow).toMatchObject({ reason: 'busy' });
});
