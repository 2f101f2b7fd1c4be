import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { OutboundClient } from '../src/outbound/outbound-client.ts';
import { generateKeyText } from '../src/secrets/key-text.ts';
import { loadSettings } from '../src/settings.ts';

const page = readFileSync(fileURLToPath(new URL('../../docs/operations.md', import.meta.url)), 'utf8');
const section = /^## Calls to others\n(.*?)^## /ms.exec(page)?.[1] ?? '';

test('the setting that the page shows opens the networks that it names, in production', () => {
  const [, variable = '', value = ''] = /^```ini\n(\w+)=(.*)\n```$/m.exec(section) ?? [];
  const { outboundAllow } = loadSettings({
    GATELODGE_PUBLIC_URL: 'https://auth.example.com',
    GATELODGE_MASTER_KEY: generateKeyText(),
    [variable]: value,
  });
  const client = new OutboundClient({ allow: outboundAllow });
  for (const host of ['10.20.255.1', '[fd00:20:0:1::1]', '192.0.2.10'])
    expect(client.checkUrl(`http://${host}/hook`).ok).toBe(true);
  for (const host of ['10.21.0.1', '[fd00:21::1]', '192.0.2.11', '127.0.0.1'])
    expect(client.checkUrl(`https://${host}/hook`).ok).toBe(false);
});

test('and the one for development opens localhost', () => {
  const value = /`GATELODGE_OUTBOUND_ALLOW=(\S+)` opens `(http:\S+?)…`/.exec(section);
  const { outboundAllow } = loadSettings({ GATELODGE_OUTBOUND_ALLOW: value?.[1] });
  expect(new OutboundClient({ allow: outboundAllow }).checkUrl(`${value?.[2]}hook`).ok).toBe(true);
});

test('the page names every outcome that is counted', () => {
  for (const outcome of Object.keys(new OutboundClient({ allow: [] }).counts))
    expect(section).toContain(`\`${outcome}\``);
});
