/*
 * The pages. They work without JavaScript; public/page.js counts down, and keeps a button from being pressed twice.
 */

/** Whole documents: `content` is markup, `title` is text. */
export function page(title, content) {
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${escaped(title)} – Example</title>
  <link rel="stylesheet" href="/style.css">
  <script type="module" src="/page.js"></script>
</head>
<body>
  <main>
    <h1>${escaped(title)}</h1>
    ${content}
  </main>
</body>
</html>
`;
}

export function addressPage({ email = '', problem = null } = {}) {
  return page(
    'Sign in',
    `${alertOf(problem)}
    <form method="post" action="/sign-in">
      <label>E-mail address
        <input name="email" type="email" autocomplete="email" required autofocus${invalidIf(problem)} value="${escaped(email)}"></label>
      <button>Send me a code</button>
      <button class="secondary" formaction="/have-code">I already have a code</button>
    </form>`,
  );
}

/** @param resendAt when another code can be sent, in milliseconds since 1970 */
export function codePage({ email, otp = '', problem = null, resendAt = 0 }) {
  const hidden = `<input type="hidden" name="email" value="${escaped(email)}">`;
  const resendSeconds = Math.max(0, Math.ceil((resendAt - Date.now()) / 1000));
  return page(
    'Enter your code',
    `${alertOf(problem)}
    <form method="post" action="/code">
      ${hidden}<input type="hidden" name="resend_at" value="${resendAt}">
      <label><span>Code, sent to <strong>${escaped(email)}</strong></span>
        <input class="code" name="otp" inputmode="numeric" autocomplete="one-time-code" pattern="[0-9\\s\\-]{6,20}"
          title="6 to 8 digits" required autofocus${invalidIf(problem)} value="${escaped(otp)}"></label>
      <button>Sign in</button>
    </form>
    <form method="post" action="/sign-in">
      ${hidden}
      <button class="secondary" data-wait-seconds="${resendSeconds}">Send a new code</button>
    </form>
    <p><a class="secondary" href="/">Use another address</a></p>`,
  );
}

export function accountPage({ email, problem = null }) {
  return page(
    'Signed in',
    `${alertOf(problem)}
    <p>Signed in as <strong>${escaped(email)}</strong>.</p>
    <form method="post" action="/sign-out"><button class="secondary">Sign out</button></form>`,
  );
}

export function problemPage(title, problem) {
  return page(title, `${alertOf(problem)}\n<p><a class="secondary" href="/">Back to the start</a></p>`);
}

function alertOf(problem) {
  return problem === null ? '' : `<p role="alert" id="problem">${escaped(problem)}</p>`;
}

function invalidIf(problem) {
  return problem === null ? '' : ' aria-invalid="true" aria-describedby="problem"';
}

function escaped(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
