/*
 * The calls to Gatelodge, and the tokens. In memory only: what is stored, any script of this origin could take. Whoever
 * reloads the page signs in again.
 */
import { gatelodgeUrl, issuerId, publishableKey } from './config.js';

/** Something went wrong, in words for the user. */
export class Problem extends Error {
  /** @param waitSeconds until another code can be sent, where that is what is wrong */
  constructor(message, { waitSeconds } = {}) {
    super(message);
    this.waitSeconds = waitSeconds;
  }
}

const unavailable =
  'Sign-in is not available on this page at the moment. Check your connection and try again.';
let tokens = null;
let renewal = null;

/** @returns seconds until another code can be sent */
export async function requestCode(email) {
  const { reason, body, waitSeconds } = await post('request-otp', { email, device_token: deviceToken() });
  switch (reason) {
    case null:
      return body.resend_in;
    case 'rate_limited':
      throw new Problem(
        `No other code can be sent for ${inWords(waitSeconds)}. If you have one already, enter it.`,
        { waitSeconds },
      );
    case 'invalid_request':
      throw new Problem('Enter an e-mail address, such as alice@example.com.');
    default:
      throw new Problem(unavailable);
  }
}

export async function redeemCode(email, otp) {
  const { reason, body, waitSeconds } = await post('verify-otp', { email, otp, device_token: deviceToken() });
  switch (reason) {
    case null:
      keep(body);
      // No more than the proof that this device has signed in before: with it alone nobody gets in.
      localStorage.setItem('device_token', body.device_token);
      return body.user;
    case 'invalid_otp': {
      const { attempts_left: left } = body.error?.code ? body.error : body;
      if (left === 0) throw new Problem('This code is not right, and was the last try. Send a new code.');
      throw new Problem(`This code is not right. ${left} ${left === 1 ? 'attempt' : 'attempts'} left.`);
    }
    case 'rate_limited':
      throw new Problem(
        `Too many tries. Send a new code; if that can’t be tried either, wait for ${inWords(waitSeconds)}.`,
      );
    case 'invalid_request':
      throw new Problem('A code has 6 to 8 digits.');
    default:
      throw new Problem(unavailable);
  }
}

/** The user as Gatelodge sees her. Any API of yours is called in the same way, and verifies the token by itself. */
export async function profile() {
  const me = async () =>
    read(await reach('auth/me', { headers: { Authorization: `Bearer ${await accessToken()}` } }));
  let answer = await me();
  if (answer.status === 401 && tokens !== null) {
    // The clocks differ, or the session has ended: the next refresh tells.
    tokens.expiresAt = 0;
    answer = await me();
  }
  if (answer.reason !== null) throw new Problem(unavailable);
  return answer.body.user;
}

/** Ends the session, also where its access token has expired: the refresh token is what it lives by. */
export async function signOut() {
  // One that is under way would leave another token, and the session with it.
  await renewal?.catch(() => {});
  if (tokens === null) return;
  const answer = await post('logout', { refresh_token: tokens.refreshToken }, null).catch(() => null);
  // 401: it has ended already.
  if (answer?.reason !== null && answer?.status !== 401)
    throw new Problem(
      'You are still signed in: signing out did not work. Check your connection and try again.',
    );
  tokens = null;
}

export function isSignedIn() {
  return tokens !== null;
}

/** A token that is good for some seconds more. */
async function accessToken() {
  if (tokens === null) throw new Problem('Your session has ended. Sign in again.');
  // A refresh token is good for one use: whoever comes meanwhile waits for the same renewal.
  if (tokens.expiresAt < Date.now() + 5_000) {
    renewal ??= renew().finally(() => {
      renewal = null;
    });
    await renewal;
  }
  return tokens.token;
}

async function renew() {
  const { reason, status, body } = await post('refresh', { refresh_token: tokens.refreshToken }, null);
  if (reason === null) return keep(body);
  if (status !== 401) throw new Problem(unavailable);
  tokens = null;
  throw new Problem('Your session has ended. Sign in again.');
}

function keep({ token, refresh_token: refreshToken, expires_in: seconds }) {
  tokens = { token, refreshToken, expiresAt: Date.now() + seconds * 1000 };
}

async function post(operation, body, key = publishableKey) {
  return read(
    await reach(`auth/${operation}`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        ...(key !== null && { Authorization: `Bearer ${key}` }),
      },
      body: JSON.stringify(body),
    }),
  );
}

/** What the browser may not read, such as the refusal of another origin, is no answer to it. */
async function reach(path, request) {
  try {
    return await fetch(`${gatelodgeUrl}/${issuerId}/${path}`, request);
  } catch (error) {
    console.error(
      `No answer from ${gatelodgeUrl} that this page may read. Does it run? Does the key list ${location.origin}?`,
      error,
    );
    throw new Problem(unavailable);
  }
}

/** `reason`: null, or the code of the error in lower case, whatever the dialect of the issuer's profile. */
async function read(response) {
  const body = await response.json().catch(() => ({}));
  const reason = response.ok ? null : String(body.error?.code ?? body.code ?? response.status).toLowerCase();
  if (reason !== null) console.warn(response.url, response.status, body);
  return {
    status: response.status,
    reason,
    body,
    waitSeconds: Number(response.headers.get('Retry-After') ?? 60),
  };
}

/** undefined on a device that has never signed in; JSON then leaves the member out. */
function deviceToken() {
  return localStorage.getItem('device_token') ?? undefined;
}

function inWords(seconds) {
  if (seconds <= 90) return `${seconds} ${seconds === 1 ? 'second' : 'seconds'}`;
  const minutes = Math.ceil(seconds / 60);
  return minutes <= 90 ? `${minutes} minutes` : `${Math.ceil(minutes / 60)} hours`;
}
