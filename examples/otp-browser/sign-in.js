/*
 * Signs a user in from the page itself. The key is publishable: it may be read by anybody, and works on the origins
 * that it lists. See README.md.
 */
import { gatelodgeUrl, issuerId, publishableKey } from './config.js';

const element = (id) => document.getElementById(id);
const [addressForm, codeForm, account] = ['address-form', 'code-form', 'account'].map(element);
let email = '';
/** In memory only: what is stored, any script of this origin could take. Whoever reloads the page signs in again. */
let tokens = null;

addressForm.addEventListener('submit', async (event) => {
  event.preventDefault();
  email = new FormData(addressForm).get('email');
  const answer = await ask('request-otp', { email, device_token: deviceToken() });
  if (!answer.ok) return;
  element('address').textContent = email;
  show(codeForm);
  codeForm.elements.otp.focus();
});

codeForm.addEventListener('submit', async (event) => {
  event.preventDefault();
  const otp = new FormData(codeForm).get('otp').trim();
  const answer = await ask('verify-otp', { email, otp, device_token: deviceToken() });
  if (!answer.ok) return;
  tokens = answer.body;
  // No more than the proof that this device has signed in before: with it alone nobody gets in.
  localStorage.setItem('device_token', tokens.device_token);
  codeForm.reset();
  await showAccount();
});

element('back').addEventListener('click', () => show(addressForm));

element('sign-out').addEventListener('click', async () => {
  await fetch(`${gatelodgeUrl}/auth/logout`, { method: 'POST', headers: bearer() });
  tokens = null;
  show(addressForm);
});

/** The user as Gatelodge sees her: any API of yours is called in the same way, and verifies the token by itself. */
async function showAccount() {
  const response = await fetch(`${gatelodgeUrl}/auth/me`, { headers: bearer() });
  const { user } = await response.json();
  element('user').textContent = user.email;
  show(account);
}

async function ask(operation, body) {
  tell(null);
  try {
    const response = await fetch(`${gatelodgeUrl}/${issuerId}/auth/${operation}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${publishableKey}` },
      body: JSON.stringify(body),
    });
    const answered = await response.json();
    // The dialect of the issuer's profile: flat, nested or problem+json.
    if (!response.ok) tell(answered.error?.message ?? answered.error ?? answered.detail);
    return { ok: response.ok, body: answered };
  } catch {
    // What the browser may not read, such as the refusal of another origin, is no answer to it.
    tell('Sign-in is not available on this page.');
    return { ok: false, body: null };
  }
}

function bearer() {
  return { Authorization: `Bearer ${tokens.token}` };
}

/** undefined on a device that has never signed in; JSON then leaves the member out. */
function deviceToken() {
  return localStorage.getItem('device_token') ?? undefined;
}

function show(shown) {
  tell(null);
  for (const part of [addressForm, codeForm, account]) part.hidden = part !== shown;
}

function tell(problem) {
  element('problem').hidden = problem === null;
  element('problem').textContent = problem ?? '';
}
