import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { repositoryRoot } from '../harness/process.ts';
import { startTestServer } from '../harness/server.ts';
import { TestIssuer } from '../harness/test-issuer.ts';
import { Gateway } from './gateway.ts';
import { nginx } from './nginx.ts';
import { startUpstream } from './upstream.ts';

const run = promisify(execFile);
const readText = (path: string) => readFile(join(repositoryRoot, path), 'utf8');

describe('docs/gateways.md', () => {
  test('has ten minutes that work as they are written', async () => {
    const guide = await readText('docs/gateways.md');
    const block = /<!-- run -->\n *```sh\n(.*?)```/s.exec(guide)?.[1];
    const server = await startTestServer();
    const upstream = await startUpstream();
    const issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
    const { id } = await issuer.createOrganization({ external_id: 'tenant_abc123' });
    const { secret } = await issuer.createKey({}, id);
    const gateway = await Gateway.start(nginx, {
      gatelodge: new URL(server.url).host,
      upstream: upstream.address,
      issuerId: issuer.id,
    });
    try {
      const script = `set -euo pipefail\n${block?.replaceAll('http://127.0.0.1:8088', gateway.url)}`;
      const { stdout } = await run('bash', ['-c', script], { env: { ...process.env, TENANT_KEY: secret } });
      expect(stdout.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 201', 'HTTP/1.1 200', 'HTTP/1.1 403']);
      expect(stdout).toContain('"plan":"team","seats":5');
      expect(stdout).toContain('"code":"tenant_mismatch"');
    } finally {
      await gateway.stop();
      await upstream.close();
      await server.close();
    }
  });

  test('quotes the lines that matter as they stand in the examples', async () => {
    const guide = await readText('docs/gateways.md');
    const excerpts = [...guide.matchAll(/<!-- excerpt: (\S+) -->\n```\w+\n(.*?)```/gs)];
    expect(excerpts).toHaveLength(4);
    for (const [, file, excerpt] of excerpts) {
      const lines = (await readText(`examples/proxies/${file}`)).split('\n').map((line) => line.trim());
      const quoted = excerpt!.trim().split('\n');
      expect(quoted.filter((line) => !lines.includes(line.trim()))).toEqual([]);
    }
  });

  test('shows sample addresses in every example that this suite replaces', async () => {
    for (const file of ['nginx/gatelodge.conf', 'caddy/Caddyfile', 'haproxy/haproxy.cfg']) {
      const text = await readText(`examples/proxies/${file}`);
      for (const sample of ['127.0.0.1:4600', '127.0.0.1:8080', '8088', 'i_yourissuer']) {
        expect([file, text.includes(sample)]).toEqual([file, true]);
      }
      expect(text.match(/i_yourissuer/g)).toHaveLength(1);
    }
    expect((await readText('examples/proxies/apache/gatelodge.lua')).match(/i_yourissuer/g)).toHaveLength(1);
  });
});
