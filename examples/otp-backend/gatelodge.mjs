/*
 * The calls to Gatelodge. What goes wrong comes back in words for the user; what is no affair of the user is logged for
 * whoever runs this server.
 */
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { apiKey, discover, gatelodge, issuer } from './settings.mjs';

const signingKeys = createRemoteJWKSet(new URL((await discover()).jwks_uri));

/** Something is wrong that no user can mend. */
export class SignInUnavailable extends Error {}

/** @returns `problem` null, or what to tell the user; `resendSeconds` until another code can be sent */
export async function requestCode(email, device) {
  const answer = await post('/auth/request-otp', { email, device_token: device }, apiKey);
  switch (answer.reason) {
    case null:
      return { isAsked: true, problem: null, resendSeconds: answer.body.resend_in };
    case 'rate_limited': {
      const { waitSeconds } = answer;
      const problem = `No other code can be sent for ${inWords(waitSeconds)}. If you have one already, enter it.`;
      return { isAsked: true, problem, resendSeconds: waitSeconds };
    }
    case 'invalid_request':
      return { isAsked: false, problem: 'Enter an e-mail address, such as alice@example.com.' };
    default:
      throw unavailable('request-otp', answer);
  }
}

/** @returns `problem` null and the tokens, or what to tell the user */
export async function redeemCode(email, otp, device) {
  const answer = await post('/auth/verify-otp', { email, otp, device_token: device }, apiKey);
  switch (answer.reason) {
    case null:
      return { problem: null, tokens: tokensOf(answer.body), device: answer.body.device_token };
    case 'invalid_otp': {
      const { attempts_left: left } = answer.body.error?.code ? answer.body.error : answer.body;
      if (left === 0) return { problem: 'This code is not right, and was the last try. Send a new code.' };
      return { problem: `This code is not right. ${left} ${left === 1 ? 'attempt' : 'attempts'} left.` };
    }
    case 'rate_limited':
      return {
        problem: `Too many tries. Send a new code; if that can’t be tried either, wait for ${inWords(answer.waitSeconds)}.`,
      };
    case 'invalid_request':
      return { problem: 'A code has 6 to 8 digits.' };
    default:
      throw unavailable('verify-otp', answer);
  }
}

/** The next tokens; null where the session has ended. */
export async function refresh(refreshToken) {
  const answer = await post('/auth/refresh', { refresh_token: refreshToken });
  if (answer.reason === null) return tokensOf(answer.body);
  if (answer.status === 401) return null;
  throw unavailable('refresh', answer);
}

/** Ends the session, also where its access token has expired: the refresh token is what it lives by. */
export async function endSession(refreshToken) {
  const answer = await post('/auth/logout', { refresh_token: refreshToken });
  // 401: it has ended already.
  if (answer.reason !== null && answer.status !== 401) throw unavailable('logout', answer);
}

/** The user's id, out of a token that is verified here, without asking Gatelodge. */
export async function userOf(token) {
  const { payload } = await jwtVerify(token, signingKeys, { issuer, audience: issuer, typ: 'at+jwt' });
  return payload.sub;
}

function tokensOf({ token, refresh_token: refreshToken, expires_in: seconds, user }) {
  return { token, refreshToken, email: user.email, expiresAt: Date.now() + seconds * 1000 };
}

/** `reason`: null, or the code of the error in lower case, whatever the dialect of the issuer's profile. */
async function post(path, body, key) {
  const response = await fetch(gatelodge + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(key && { Authorization: `Bearer ${key}` }) },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  }).catch((error) => {
    throw new SignInUnavailable(`no answer from ${gatelodge + path}`, { cause: error });
  });
  const answered = await response.json().catch(() => ({}));
  const reason = response.ok ? null : String(answered.error?.code ?? answered.code ?? response.status);
  return {
    status: response.status,
    reason: reason?.toLowerCase() ?? null,
    body: answered,
    waitSeconds: Number(response.headers.get('Retry-After') ?? 60),
    requestId: response.headers.get('X-Request-Id'),
  };
}

/** A wrong key, say: it is told to whoever runs this server, and to no user. */
function unavailable(operation, { status, body, requestId }) {
  const text = body.error?.message ?? body.error ?? body.detail ?? '';
  const hint = status === 401 || status === 403 ? ' Is API_KEY a secret key of ISSUER_ID that works?' : '';
  return new SignInUnavailable(`${operation} answered ${status}: ${text} (${requestId}).${hint}`);
}

function inWords(seconds) {
  if (seconds <= 90) return `${seconds} ${seconds === 1 ? 'second' : 'seconds'}`;
  const minutes = Math.ceil(seconds / 60);
  return minutes <= 90 ? `${minutes} minutes` : `${Math.ceil(minutes / 60)} hours`;
}
