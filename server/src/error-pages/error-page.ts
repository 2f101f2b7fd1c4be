import { createHash } from 'node:crypto';
import { type ErrorCode, errorTable } from '../errors.ts';
import { type Html, html, ownHtml } from '../mail/html.ts';
import { type RefusalCode, refusals } from '../verification/refusals.ts';

const styles = `
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 44rem; padding: 1.5rem 1rem; font: 400 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { margin-top: 2rem; font-size: 1.125rem; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
dt { font-weight: 600; }
dd { margin: 0 0 0.5rem; }
`;

/** Nothing but our own style sheet. */
export const errorPagePolicy = [
  `default-src 'none'`,
  `style-src 'sha256-${createHash('sha256').update(styles).digest('base64')}'`,
  `form-action 'none'`,
  `base-uri 'none'`,
  `frame-ancestors 'none'`,
].join('; ');

/** The page of an error code, from the tables of errors and nothing else; null where there is no such code. */
export function renderErrorPage(code: string): string | null {
  if (!Object.hasOwn(errorTable, code)) return null;
  const { status, title, detail, fix } = errorTable[code as ErrorCode];
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${code} – Gatelodge</title>
    <style>${ownHtml(styles)}</style>
  </head>
  <body>
    <main>
      <h1><code>${code}</code></h1>
      <p>${title}: answered with status ${status}.</p>
      ${detail === title ? [] : [html`<p>${detail}</p>`]}
      ${fix === undefined ? [] : [html`<p>${fix}</p>`]}
      <p>The <code>detail</code> of an answer may say more, and <code>request_id</code> is what to quote when you ask for help.</p>
      ${Object.hasOwn(refusals, code) ? [dialectsOf(code as RefusalCode)] : []}
    </main>
  </body>
</html>
`.text;
}

function dialectsOf(code: RefusalCode): Html {
  const { nested, flat, verifyCode } = refusals[code];
  return html`<h2>In other words</h2>
      <p>What an issuer’s key profile calls it, by its <code>error_format</code>:</p>
      <dl>
        <dt>nested: code, type</dt>
        <dd><code>${nested[0]}</code>, <code>${nested[1]}</code></dd>
        <dt>flat</dt>
        <dd><code>${flat}</code></dd>
        ${verifyCode === null ? [] : [html`<dt>POST /v1/keys/verify</dt><dd><code>${verifyCode}</code></dd>`]}
      </dl>`;
}
