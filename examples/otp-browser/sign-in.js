/*
 * Signs a user in from the page itself. The key is publishable: it may be read by anybody, and works on the origins
 * that it lists. See README.md.
 */
const element = (id) => document.getElementById(id);
const [addressForm, codeForm, account] = ['address-form', 'code-form', 'account'].map(element);
const { email: emailField } = addressForm.elements;
const { otp: otpField } = codeForm.elements;

const gatelodge = await import('./gatelodge.js').catch((error) => {
  tell(
    'This page is not set up: copy config.example.js to config.js, and write your issuer and key into it.',
  );
  throw error;
});
let email = '';
let countdown;

onSubmit(addressForm, async (submitter) => {
  email = emailField.value.trim();
  if (submitter?.value === 'have-code') return showCodeForm(0);
  await sendCode();
});

onSubmit(codeForm, async () => {
  try {
    const user = await gatelodge.redeemCode(email, otpField.value);
    codeForm.reset();
    element('user').textContent = user.email;
    show(account, 'Signed in');
    element('title').focus();
  } catch (problem) {
    otpField.setAttribute('aria-invalid', 'true');
    throw problem;
  }
});

element('resend').addEventListener('click', () => during(codeForm, sendCode));

element('back').addEventListener('click', () => showAddressForm());

onSubmit(element('profile-form'), async () => {
  const user = await gatelodge.profile();
  element('profile').textContent = JSON.stringify(user, null, 2);
  element('profile').hidden = false;
});

onSubmit(element('sign-out-form'), async () => {
  await gatelodge.signOut();
  addressForm.reset();
  showAddressForm();
});

setBusy(addressForm, false);
emailField.focus();

async function sendCode() {
  try {
    showCodeForm(await gatelodge.requestCode(email));
  } catch (problem) {
    // There may be a code that has been sent before.
    if (problem.waitSeconds !== undefined) showCodeForm(problem.waitSeconds);
    throw problem;
  }
}

function showAddressForm() {
  show(addressForm, 'Sign in');
  emailField.focus();
}

/** @param waitSeconds until another code can be sent */
function showCodeForm(waitSeconds) {
  element('address').textContent = email;
  codeForm.reset();
  otpField.removeAttribute('aria-invalid');
  show(codeForm, 'Enter your code');
  countDown(waitSeconds);
  otpField.focus();
}

function show(shown, title) {
  tell(null);
  for (const part of [addressForm, codeForm, account]) part.hidden = part !== shown;
  element('profile').hidden = true;
  element('title').textContent = title;
  document.title = `${title} – Example`;
}

function tell(problem) {
  element('problem').hidden = problem === null;
  element('problem').textContent = problem ?? '';
}

function countDown(waitSeconds) {
  clearInterval(countdown);
  const endsAt = Date.now() + waitSeconds * 1000;
  const tick = () => {
    const seconds = Math.ceil((endsAt - Date.now()) / 1000);
    element('resend').dataset.isWaiting = String(seconds > 0);
    element('resend').textContent = seconds > 0 ? `Send a new code in ${seconds} s` : 'Send a new code';
    element('resend').disabled = seconds > 0 || codeForm.ariaBusy === 'true';
    if (seconds <= 0) clearInterval(countdown);
  };
  countdown = setInterval(tick, 1000);
  tick();
}

function onSubmit(form, work) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    during(form, () => work(event.submitter));
  });
}

/** Does something that takes a while, with the form's buttons out of use, and tells what goes wrong. */
async function during(form, work) {
  tell(null);
  setBusy(form, true);
  try {
    await work();
  } catch (problem) {
    if (!(problem instanceof gatelodge.Problem)) console.error(problem);
    if (!gatelodge.isSignedIn() && !account.hidden) showAddressForm();
    tell(problem instanceof gatelodge.Problem ? problem.message : 'Something went wrong. Try again.');
  } finally {
    setBusy(form, false);
  }
  // What was not right is typed over.
  if (otpField.ariaInvalid === 'true' && !codeForm.hidden) {
    otpField.focus();
    otpField.select();
  }
}

function setBusy(form, isBusy) {
  form.ariaBusy = String(isBusy);
  for (const button of form.querySelectorAll('button'))
    button.disabled = isBusy || button.dataset.isWaiting === 'true';
}
