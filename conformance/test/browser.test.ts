import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Browser } from '../browser/browser.ts';
import { formDriver } from '../browser/login-driver.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let handle: Handler;
let origin: URL;
const server = createServer((request, response) => handle(request, response));

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterAll(() => {
  server.close();
});

let seen: IncomingMessage[];
beforeEach(() => {
  seen = [];
});

function serve(
  routes: Record<string, (response: ServerResponse, request: IncomingMessage) => void>,
): Browser {
  handle = (request, response) => {
    seen.push(request);
    const route = routes[new URL(request.url!, origin).pathname];
    if (route === undefined) response.writeHead(404).end();
    else route(response, request);
  };
  return new Browser((url) => url.origin === origin.origin);
}

const redirect =
  (location: string, cookies: string[] = []) =>
  (response: ServerResponse) =>
    response.writeHead(303, { location, 'set-cookie': cookies }).end();
const html =
  (body: string, status = 200, headers = {}) =>
  (response: ServerResponse) =>
    response.writeHead(status, { 'content-type': 'text/html', ...headers }).end(body);

describe('a browser', () => {
  it('follows redirects with its cookies and stops before it leaves the provider', async () => {
    const browser = serve({
      '/start': redirect('/deep/next', [
        'a=1; Path=/deep; HttpOnly',
        'b=2; Path=/other',
        'c=3; Max-Age=0',
        'd=4; Secure',
      ]),
      '/deep/next': redirect('https://rp.example/callback?code=x#y=z'),
    });
    const landing = await browser.open(new URL('/start', origin));
    expect(seen[1]!.headers.cookie).toBe('a=1; d=4');
    expect(landing).toMatchObject({ kind: 'arrival', method: 'GET' });
    if (landing.kind !== 'arrival') return;
    expect(landing.parameters.get('code')).toBe('x');
    expect(landing.fragment.get('y')).toBe('z');
  });

  it('keeps no cookie of another domain, and drops one that is expired', async () => {
    const browser = serve({
      '/start': redirect('/next', ['evil=1; Domain=example.com', 'gone=1; Path=/']),
      '/next': redirect('/last', ['gone=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT']),
      '/last': html('done'),
    });
    await browser.open(new URL('/start', origin));
    expect(seen.map(({ headers }) => headers.cookie)).toEqual([undefined, 'gone=1', undefined]);
  });

  it('posts across 307 and turns to GET at 303', async () => {
    const browser = serve({
      '/start': (response) => response.writeHead(307, { location: '/kept' }).end(),
      '/kept': redirect('/last'),
      '/last': html('done'),
    });
    await browser.post(
      new URL('/start', origin),
      new URLSearchParams({ a: '1' }),
      new URL('https://rp.example'),
    );
    expect(seen.map(({ method }) => method)).toEqual(['POST', 'POST', 'GET']);
    expect(seen[0]!.headers).toMatchObject({ origin: 'https://rp.example', 'sec-fetch-site': 'cross-site' });
  });

  it('gives up on redirects without end', async () => {
    const browser = serve({ '/start': redirect('/start') });
    await expect(browser.open(new URL('/start', origin))).rejects.toThrow('redirects');
  });
});

describe('the login driver', () => {
  it('sends address and code, waits where it is told to, and arrives', async () => {
    let isLimited = true;
    const browser = serve({
      '/login': html(
        '<form method="post" action="/code"><input type="email" name="mail"><button>Go</button></form>',
      ),
      '/code': (response) => {
        const limit = isLimited;
        isLimited = false;
        if (limit) html('<form></form>', 429, { 'retry-after': '1' })(response);
        else
          html('<form method="post" action="/done"><input name="otp" autocomplete="one-time-code"></form>')(
            response,
          );
      },
      '/done': redirect('https://rp.example/callback'),
    });
    const landing = await browser.open(new URL('/login', origin));
    const journey = await formDriver(async () => '123456')(browser, landing, 'ada@example.com');
    expect(journey.landing.kind).toBe('arrival');
    expect(journey.pages).toHaveLength(2);
  });

  it('ends at a page of an error, whatever form stands on it', async () => {
    const browser = serve({ '/login': html('<form><button>Search</button></form>', 400) });
    const landing = await browser.open(new URL('/login', origin));
    const journey = await formDriver(async () => '')(browser, landing, 'ada@example.com');
    expect(journey.landing).toBe(landing);
    expect(seen).toHaveLength(1);
  });

  it('ends after a dozen pages that lead nowhere', async () => {
    const browser = serve({ '/login': html('<form><button>Again</button></form>') });
    const landing = await browser.open(new URL('/login', origin));
    const journey = await formDriver(async () => '')(browser, landing, 'ada@example.com');
    expect(journey.landing.kind).toBe('page');
    expect(journey.pages.length).toBeLessThan(20);
  });
});
