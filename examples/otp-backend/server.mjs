/*
 * A web application whose users sign in with a mailed code. Its server alone knows the API key; the browser gets one
 * HttpOnly cookie, which scripts can't read. See README.md.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { endSession, redeemCode, refresh, requestCode, userOf } from './gatelodge.mjs';
import { accountPage, addressPage, codePage, problemPage } from './pages.mjs';
import { port, publicOrigin, stop } from './settings.mjs';

/** Who is signed in: the name in the cookie, and the tokens, which never leave this server. A real one uses its database. */
const sessions = new Map();
const sessionSeconds = 30 * 24 * 3600;
const deviceSeconds = 365 * 24 * 3600;
const unavailable = 'Sign-in does not work at the moment. Try again shortly.';

const files = new Map(
  await Promise.all(
    [
      ['/style.css', 'text/css'],
      ['/page.js', 'text/javascript'],
    ].map(async ([path, type]) => [
      path,
      { type, content: await readFile(new URL(`./public${path}`, import.meta.url)) },
    ]),
  ),
);

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) show(response, 502, problemPage('Something went wrong', unavailable));
  });
});
server.on('error', (error) => {
  if (error.code !== 'EADDRINUSE') throw error;
  stop(`Port ${port} is taken. Set PORT to another one.`);
});
server.listen(port, '127.0.0.1', () => {
  console.log(`Open ${publicOrigin ?? `http://localhost:${server.address().port}`}`);
});

async function answer(request, response) {
  const origin = originOf(request);
  if (origin === null)
    return show(
      response,
      421,
      problemPage('Wrong address', `Set ORIGIN to where browsers find this server.`),
    );
  const { pathname } = new URL(request.url, origin);
  const file = request.method === 'GET' ? files.get(pathname) : undefined;
  if (file !== undefined) return response.writeHead(200, { 'Content-Type': file.type }).end(file.content);
  // A form on somebody else's page must not sign anybody in or out here.
  if (request.method === 'POST' && request.headers.origin !== origin) {
    const problem = `This form comes from another site. This one is ${origin}.`;
    return show(response, 403, problemPage('Not from here', problem));
  }
  switch (`${request.method} ${pathname}`) {
    case 'GET /':
      return home(request, response);
    case 'POST /sign-in':
      return sendCode(request, response);
    case 'POST /have-code':
      return haveCode(request, response);
    case 'POST /code':
      return takeCode(request, response);
    case 'POST /sign-out':
      return signOut(request, response);
    case 'GET /api/profile':
      return profile(request, response);
    case 'GET /sign-in':
    case 'GET /have-code':
    case 'GET /code':
    case 'GET /sign-out':
      return redirect(response, '/');
    default:
      return show(response, 404, problemPage('Not found', 'There is no such page.'));
  }
}

async function home(request, response) {
  const user = await signedIn(request);
  show(response, 200, user === null ? addressPage() : accountPage(user));
}

async function sendCode(request, response) {
  const { email = '' } = await readForm(request);
  const asked = await requestCode(email, deviceOf(request)).catch(asProblem);
  const { isAsked, problem, resendSeconds, status = 422 } = asked;
  if (!isAsked) return show(response, status, addressPage({ email, problem }));
  show(response, 200, codePage({ email, problem, resendAt: Date.now() + resendSeconds * 1000 }));
}

async function haveCode(request, response) {
  const { email = '' } = await readForm(request);
  show(response, 200, codePage({ email }));
}

async function takeCode(request, response) {
  const { email = '', otp = '', resend_at: resendAt } = await readForm(request);
  const redeemed = await redeemCode(email, otp, deviceOf(request)).catch(asProblem);
  const { problem, tokens, device, status = 422 } = redeemed;
  if (problem !== null)
    return show(response, status, codePage({ email, otp, problem, resendAt: Number(resendAt) || 0 }));
  const userId = await userOf(tokens.token);
  const id = randomBytes(32).toString('base64url');
  sessions.set(id, { ...tokens, userId });
  response.setHeader('Set-Cookie', [
    cookie('session', id, sessionSeconds),
    // Shown with the next sign-in, it keeps strangers from locking this user out with wrong guesses.
    cookie('device', device, deviceSeconds),
  ]);
  redirect(response, '/');
}

async function signOut(request, response) {
  const id = cookiesOf(request).session;
  const session = sessions.get(id);
  if (session !== undefined) {
    try {
      // A renewal that is under way would leave another token, and the session with it.
      await session.renewal;
      await endSession(session.refreshToken);
    } catch (error) {
      console.error(error);
      const problem = 'You are still signed in: signing out does not work at the moment. Try again shortly.';
      return show(response, 502, accountPage({ email: session.email, problem }));
    }
    sessions.delete(id);
  }
  response.setHeader('Set-Cookie', cookie('session', '', 0));
  redirect(response, '/');
}

async function profile(request, response) {
  const user = await signedIn(request);
  response.writeHead(user === null ? 401 : 200, {
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
  });
  response.end(JSON.stringify(user === null ? { error: 'Sign in first' } : user));
}

/** Who the cookie stands for; null for nobody. */
async function signedIn(request) {
  const id = cookiesOf(request).session;
  const session = sessions.get(id);
  if (session === undefined) return null;
  if (session.expiresAt < Date.now() + 5_000 && !(await renew(id, session))) return null;
  return { id: await userOf(session.token), email: session.email };
}

/** A refresh token is good for one use: requests that come meanwhile wait for the same renewal. */
function renew(id, session) {
  session.renewal ??= refresh(session.refreshToken)
    .then((tokens) => {
      if (tokens === null) sessions.delete(id);
      else Object.assign(session, tokens);
      return tokens !== null;
    })
    .finally(() => {
      session.renewal = undefined;
    });
  return session.renewal;
}

/** What is wrong goes to the log; the user may try again. */
function asProblem(error) {
  console.error(error);
  return { isAsked: false, problem: unavailable, status: 502 };
}

function show(response, status, html) {
  response.writeHead(status, {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy':
      "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    // Not `no-referrer`: browsers then send `Origin: null` with our own forms, too.
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(html);
}

function redirect(response, location) {
  response.writeHead(303, { Location: location, 'Cache-Control': 'no-store' });
  response.end();
}

/** Where the browser has found this server: ORIGIN, or by whichever name this machine has for itself; else null. */
function originOf({ headers }) {
  if (publicOrigin !== null) return publicOrigin;
  const isHere = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/.test(headers.host ?? '');
  return isHere ? `http://${headers.host}` : null;
}

/** Secure where browsers come by HTTPS. */
function cookie(name, value, seconds) {
  const secure = publicOrigin?.startsWith('https:') ? '; Secure' : '';
  return `${name}=${value}; HttpOnly; SameSite=Lax; Path=/; Max-Age=${seconds}${secure}`;
}

function cookiesOf(request) {
  const pairs = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim().split('='));
  return Object.fromEntries(pairs);
}

/** undefined on a device that has never signed in; JSON then leaves the member out. */
function deviceOf(request) {
  return cookiesOf(request).device;
}

async function readForm(request) {
  let text = '';
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 10_000) throw new Error('too long a form');
  }
  return Object.fromEntries(new URLSearchParams(text));
}
