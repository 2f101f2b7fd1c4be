import { afterAll, describe, expect, test } from 'vitest';
import { MailServer } from '../../test/harness/mail-server.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { packageVersion } from '../version.ts';

const server = await startTestServer();
afterAll(() => server.close());
const page = (init: RequestInit = {}) => fetch(`${server.url}/`, init);

describe('200', () => {
  test('whoever opens the server sees that it runs, and where to go on', async () => {
    const answer = await page({ headers: { Accept: 'text/html' } });
    expect([answer.status, answer.headers.get('Content-Type')]).toEqual([200, 'text/html; charset=utf-8']);
    const text = await answer.text();
    expect(text).toContain('Gatelodge is running');
    const targets = [...text.matchAll(/href="([^"]*)"/g)].map(([, target]) => target);
    expect(targets).toEqual(['/openapi.json', '/dev/mailbox']);
    expect((await fetch(`${server.url}/openapi.json`)).status).toBe(200);
  });

  test('there is no mailbox to go to where mails are sent', async () => {
    await using mailServer = await MailServer.start();
    const sending = await startTestServer({ nodeOf: server, env: mailServer.env });
    const text = await (await fetch(`${sending.url}/`)).text();
    await sending.close();
    expect(text).toContain('/openapi.json');
    expect(text).not.toContain('mailbox');
  });

  // Attack: learn from it which release runs here, or have a browser run something on it.
  test('nobody learns more from it, and nothing runs, is loaded or framed', async () => {
    const { headers, ...answer } = await page().then(async (each) => ({
      headers: each.headers,
      text: await each.text(),
    }));
    expect(answer.text).not.toContain(packageVersion);
    expect(answer.text).not.toMatch(/<script|<form|src=|\bon\w+=/);
    const policy = headers.get('Content-Security-Policy');
    for (const rule of [
      "default-src 'none'",
      "form-action 'none'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ])
      expect(policy).toContain(rule);
    expect(policy).not.toMatch(/unsafe|script-src/);
    expect([headers.get('X-Frame-Options'), headers.get('X-Content-Type-Options')]).toEqual([
      'DENY',
      'nosniff',
    ]);
  });

  test('HEAD is answered as GET, without the page', async () => {
    const answer = await page({ method: 'HEAD' });
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });
});

test('405 for whatever else is tried at the root', async () => {
  const answer = await page({ method: 'POST' });
  expect([answer.status, answer.headers.get('Allow')]).toEqual([405, 'GET, HEAD']);
});
