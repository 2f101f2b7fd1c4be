import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { type ErrorCode, errorTable } from '../errors.ts';
import { escapeHtml } from '../mail/html.ts';
import { refusals } from '../verification/refusals.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

const pageOf = (code: string, init: RequestInit = {}) => fetch(`${server.url}/docs/errors/${code}`, init);

describe('200', () => {
  test('the type of a problem leads to what its code means', async () => {
    const { body } = await server.operator.api.post('/v1/issuers', { nam: 'Acme' });
    const type = new URL(body.type);
    const page = await fetch(`${server.url}${type.pathname}`);
    expect(page.status).toBe(200);
    const text = await page.text();
    expect(text).toContain('<h1><code>invalid_request</code></h1>');
    expect(text).toContain('errors');
  });

  test.each(Object.keys(errorTable) as ErrorCode[])('%s says what it is and what to do', async (code) => {
    const page = await pageOf(code);
    expect([page.status, page.headers.get('Content-Type')]).toEqual([200, 'text/html; charset=utf-8']);
    const text = await page.text();
    const { status, title, detail, fix } = errorTable[code];
    for (const told of [code, String(status), title, detail, fix ?? ''])
      expect(text).toContain(escapeHtml(told));
  });

  test('a refusal of a key is told in the words of each dialect', async () => {
    const text = await (await pageOf('rate_limited')).text();
    const { nested, flat, verifyCode } = refusals.rate_limited;
    for (const word of [...nested, flat, verifyCode]) expect(text).toContain(`<code>${word}</code>`);
  });

  test('nothing runs on it, nothing is loaded, and nobody can frame it', async () => {
    const { headers } = await pageOf('not_found');
    const policy = headers.get('Content-Security-Policy');
    for (const rule of [
      "default-src 'none'",
      "form-action 'none'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ])
      expect(policy).toContain(rule);
    expect(policy).not.toContain('unsafe');
    expect(policy).not.toContain('script-src');
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff');
    expect(headers.get('X-Frame-Options')).toBe('DENY');
  });

  test('HEAD is answered as GET, without the page', async () => {
    const answer = await pageOf('not_found', { method: 'HEAD' });
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });
});

describe('404', () => {
  test.each([
    'nothing',
    'Not_found',
    'constructor',
    '__proto__',
    'toString',
    '%3Cscript%3E',
    'not_found/x',
    '',
  ])('there is no error %j', async (code) => {
    const answer = await pageOf(code);
    expect([answer.status, answer.headers.get('Content-Type')]).toEqual([404, 'application/problem+json']);
  });
});
