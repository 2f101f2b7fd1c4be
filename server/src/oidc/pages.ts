import type { Client, Context } from 'oidc-provider';
import { type Html, html, ownHtml } from '../mail/html.ts';

/**
 * What every page of the runtime is answered with. No script runs but the one of the library's that submits a response
 * (`response_mode=form_post`), which it names by its digest.
 */
const headersOfPages = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
} as const;

/** @param url of the issuer: where it is HTTPS, browsers are told to stay with that (RFC 6797) */
export function pageHeaders(url: string): Record<string, string> {
  return {
    ...headersOfPages,
    ...(url.startsWith('https:') && { 'Strict-Transport-Security': 'max-age=31536000' }),
  };
}

const styles = `
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f27; --quiet: #57606e; --accent: #0b5fb0; --on-accent: #fff; }
@media (prefers-color-scheme: dark) { :root { --page: #12151a; --ink: #e8ebf0; --quiet: #a4adba; --accent: #7db8f5; --on-accent: #12151a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 400 1rem/1.5 system-ui, sans-serif; }
main { max-width: 26rem; margin: 0 auto; padding: 3rem 1rem; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1rem; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); }
label { display: block; margin-bottom: 1rem; }
input { display: block; width: 100%; margin-top: .25rem; padding: .5rem .75rem; min-height: 2.75rem; font: inherit; color: inherit; background: transparent; border: 1px solid var(--quiet); border-radius: 6px; }
button { min-height: 2.75rem; padding: .5rem 1rem; font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: 6px; cursor: pointer; }
button.plain { color: var(--accent); background: transparent; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
code { font-size: 1.25rem; letter-spacing: .1em; }
`;

/** A whole page. */
export function page(title: string, body: Html): string {
  return html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title><style>${ownHtml(styles)}</style></head>
<body><main><h1>${title}</h1>${body}</main></body>
</html>`.text;
}

function show(context: Context, title: string, body: Html): void {
  context.type = 'html';
  context.body = page(title, body);
}

/** Why a request can't go on that can't be sent back to where it came from. */
export function errorPage(context: Context, out: { error: string; error_description?: string }): void {
  show(
    context,
    'This request can’t go on',
    html`<p>Go back to the application that you came from and try again.</p>
<p class="quiet">${out.error}${out.error_description === undefined ? '' : `: ${out.error_description}`}</p>`,
  );
}

/** Where a user types the code that a device shows. */
export function enterUserCode(
  context: Context,
  form: string,
  _out: unknown,
  error?: { userCode?: string; name?: string },
): void {
  const isWrongCode = error?.userCode !== undefined || error?.name === 'NoCodeError';
  // The form of a page that is too old, or of another: what it would be answered by is not kept.
  if (error !== undefined && !isWrongCode) {
    show(
      context,
      'This did not work',
      html`<p role="status">Nothing was connected.</p><p><a href="${actionOf(form)}">Start again</a></p>`,
    );
    return;
  }
  const message = isWrongCode
    ? 'There is no such code. Look at your device and type it again.'
    : 'Type the code that your device shows.';
  show(
    context,
    'Connect a device',
    html`<p role="status">${message}</p>
<form method="post" action="${actionOf(form)}">
<input type="hidden" name="xsrf" value="${hiddenOf(form, 'xsrf')}">
<label>Code<input name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" required autofocus></label>
<button type="submit">Continue</button>
</form>`,
  );
}

/** Where a user says that it is its own device that shows this code. */
export function confirmUserCode(
  context: Context,
  form: string,
  client: Client,
  _deviceInfo: unknown,
  userCode: string,
): void {
  show(
    context,
    'Is this your device?',
    html`<p>${client.clientName ?? client.clientId} on your device asks to be connected. It has to show this code:</p>
<p><code>${userCode}</code></p>
<form method="post" action="${actionOf(form)}">
<input type="hidden" name="xsrf" value="${hiddenOf(form, 'xsrf')}">
<input type="hidden" name="user_code" value="${hiddenOf(form, 'user_code')}">
<input type="hidden" name="confirm" value="yes">
<button type="submit">Yes, connect it</button>
<button type="submit" class="plain" name="abort" value="yes">No</button>
</form>`,
  );
}

export function deviceDone(context: Context): void {
  show(context, 'Your device is connected', html`<p>You can close this page.</p>`);
}

/** The library makes forms whole; ours is another one that asks for the same. What it has escaped is read back. */
function actionOf(form: string): string {
  return unescaped(/ action="([^"]*)"/.exec(form)?.[1] ?? '');
}

function hiddenOf(form: string, name: string): string {
  return unescaped(new RegExp(`name="${name}" value="([^"]*)"`).exec(form)?.[1] ?? '');
}

function unescaped(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');
}

/** Whether the user means to be signed out: a link that somebody else has made leads here. */
export function confirmLogoutPage(
  action: string,
  fields: readonly (readonly [string, string])[],
  clientName: string | null,
): string {
  const hidden = fields.map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`);
  return page(
    'Sign out?',
    html`<p>${clientName === null ? 'You are' : `${clientName} asks you to sign out. You are`} signed in to every application that you use with this account in this browser.</p>
<form method="post" action="${action}">${hidden}<button type="submit">Sign out</button></form>`,
  );
}

export function signedOutPage(): string {
  return page('You are signed out', html`<p>You can close this page.</p>`);
}
