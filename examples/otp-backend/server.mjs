/*
 * A web application whose users sign in with a mailed code. Its server alone knows the API key; the browser gets one
 * HttpOnly cookie, which scripts can't read. See README.md.
 */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const gatelodge = required('GATELODGE_URL');
const issuer = `${gatelodge}/${required('ISSUER_ID')}`;
const apiKey = required('API_KEY');
const port = Number(process.env.PORT ?? 8080);
/** Where the browser finds this server; its cookies are Secure where that is HTTPS. */
const ownOrigin = process.env.ORIGIN ?? `http://127.0.0.1:${port}`;

const discovery = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const signingKeys = createRemoteJWKSet(new URL(discovery.jwks_uri));

/** Who is signed in: the name in the cookie, and the tokens, which never leave this server. A real one uses its database. */
const sessions = new Map();
const sessionSeconds = 30 * 24 * 3600;
const deviceSeconds = 365 * 24 * 3600;

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent)
      page(response, 502, '<p role="alert">Something went wrong. Try again shortly.</p>');
  });
});
server.listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));

async function answer(request, response) {
  const { pathname } = new URL(request.url, ownOrigin);
  // A form on somebody else's page must not sign anybody in or out here.
  if (request.method === 'POST' && request.headers.origin !== ownOrigin)
    return page(response, 403, '<p role="alert">This form belongs to another site.</p>');
  switch (`${request.method} ${pathname}`) {
    case 'GET /':
      return home(request, response);
    case 'POST /sign-in':
      return sendCode(request, response);
    case 'POST /code':
      return takeCode(request, response);
    case 'POST /sign-out':
      return signOut(request, response);
    case 'GET /api/profile':
      return profile(request, response);
    default:
      return page(response, 404, '<p>There is no such page.</p>');
  }
}

async function home(request, response) {
  const user = await signedIn(request);
  if (user === null) return page(response, 200, addressForm());
  page(
    response,
    200,
    `<p>Signed in as <strong>${escaped(user.email)}</strong>.</p>
    <form method="post" action="/sign-out"><button>Sign out</button></form>`,
  );
}

async function sendCode(request, response) {
  const { email = '' } = await readForm(request);
  const { status, body } = await ask('/auth/request-otp', { email, device_token: deviceOf(request) });
  if (status !== 200) return page(response, status, alert(body.error) + addressForm(email));
  page(response, 200, codeForm(email));
}

async function takeCode(request, response) {
  const { email = '', otp = '' } = await readForm(request);
  const { status, body } = await ask('/auth/verify-otp', {
    email,
    otp: otp.trim(),
    device_token: deviceOf(request),
  });
  if (status !== 200) return page(response, status, alert(body.error) + codeForm(email));
  const id = randomBytes(32).toString('base64url');
  sessions.set(id, tokensOf(body));
  response.setHeader('Set-Cookie', [
    cookie('session', id, sessionSeconds),
    // Shown with the next sign-in, it keeps strangers from locking this user out with wrong guesses.
    cookie('device', body.device_token, deviceSeconds),
  ]);
  redirect(response, '/');
}

async function signOut(request, response) {
  const id = cookiesOf(request).session;
  const session = sessions.get(id);
  sessions.delete(id);
  if (session !== undefined)
    await fetch(`${gatelodge}/auth/logout`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${session.token}` },
    });
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

/** Who the cookie stands for; null for nobody. The token is verified here, without asking Gatelodge. */
async function signedIn(request) {
  const id = cookiesOf(request).session;
  const session = sessions.get(id);
  if (session === undefined) return null;
  if (session.expiresAt < Date.now() + 5_000 && !(await renew(id, session))) return null;
  const { payload } = await jwtVerify(session.token, signingKeys, {
    issuer,
    audience: issuer,
    typ: 'at+jwt',
  });
  return { id: payload.sub, email: session.user.email };
}

/** A refresh token is good for one use: requests that come meanwhile wait for the same renewal. */
async function renew(id, session) {
  session.renewal ??= ask('/auth/refresh', { refresh_token: session.refreshToken }, null).then(
    ({ status, body }) => {
      session.renewal = undefined;
      if (status === 200) Object.assign(session, tokensOf(body));
      else if (status === 401) sessions.delete(id);
      else throw new Error(`refresh: ${status}`);
      return status === 200;
    },
  );
  return session.renewal;
}

function tokensOf({ token, refresh_token: refreshToken, expires_in: seconds, user }) {
  return { token, refreshToken, user, expiresAt: Date.now() + seconds * 1000 };
}

async function ask(path, body, key = apiKey) {
  const response = await fetch(gatelodge + path, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      ...(key !== null && { Authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify(body),
  });
  const answered = await response.json();
  // The dialect of the issuer's profile: flat, nested or problem+json.
  const error = answered.error?.message ?? answered.error ?? answered.detail;
  return { status: response.status, body: { ...answered, error } };
}

function page(response, status, content) {
  response.writeHead(status, {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy':
      "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    // Not `no-referrer`: browsers then send `Origin: null` with our own forms, too.
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
  body { margin: 10vh auto; max-width: 22rem; padding: 0 1rem; }
  form { display: grid; gap: .75rem; }
  label { display: grid; gap: .25rem; }
  input, button { font: inherit; padding: .6rem .75rem; border-radius: .5rem; border: 1px solid GrayText; }
  button { border: 0; background: #1d4ed8; color: #fff; cursor: pointer; }
  [role=alert] { border-left: .25rem solid #b91c1c; padding-left: .75rem; }
</style>
<main>
<h1>Example</h1>
${content}
</main>
</html>
`);
}

function addressForm(email = '') {
  return `<form method="post" action="/sign-in">
<label>E-mail address <input name="email" type="email" autocomplete="email" required autofocus value="${escaped(email)}"></label>
<button>Send me a code</button>
</form>`;
}

function codeForm(email) {
  return `<form method="post" action="/code">
<input type="hidden" name="email" value="${escaped(email)}">
<label>Code, sent to ${escaped(email)}
<input name="otp" inputmode="numeric" autocomplete="one-time-code" pattern="\\s*[0-9]{6,8}\\s*" required autofocus></label>
<button>Sign in</button>
</form>
<p><a href="/">Use another address</a></p>`;
}

function alert(message) {
  return `<p role="alert">${escaped(String(message))}</p>`;
}

function redirect(response, location) {
  response.writeHead(303, { Location: location, 'Cache-Control': 'no-store' });
  response.end();
}

function cookie(name, value, seconds) {
  const secure = ownOrigin.startsWith('https:') ? '; Secure' : '';
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

function escaped(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function required(name) {
  const value = process.env[name];
  if (value) return value;
  console.error(`Set ${name}; see README.md.`);
  process.exit(1);
}
