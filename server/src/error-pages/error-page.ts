import { type ErrorCode, errorTable } from '../errors.ts';
import { renderPlainPage } from '../http/plain-page.ts';
import { type Html, html } from '../mail/html.ts';
import { type RefusalCode, refusals } from '../verification/refusals.ts';

/** The page of an error code, from the tables of errors and nothing else; null where there is no such code. */
export function renderErrorPage(code: string): string | null {
  if (!Object.hasOwn(errorTable, code)) return null;
  const { status, title, detail, fix } = errorTable[code as ErrorCode];
  return renderPlainPage(
    `${code} – Gatelodge`,
    html`<h1><code>${code}</code></h1>
      <p>${title}: answered with status ${status}.</p>
      ${detail === title ? [] : [html`<p>${detail}</p>`]}
      ${fix === undefined ? [] : [html`<p>${fix}</p>`]}
      <p>The <code>detail</code> of an answer may say more, and <code>request_id</code> is what to quote when you ask for help.</p>
      ${Object.hasOwn(refusals, code) ? [dialectsOf(code as RefusalCode)] : []}`,
  );
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
