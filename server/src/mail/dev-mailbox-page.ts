import { createHash } from 'node:crypto';
import type { ShownMail } from './dev-mailbox.ts';
import { type Html, html, ownHtml } from './html.ts';

/** What the page is made of. */
export interface DevMailboxView {
  mails: readonly ShownMail[];
  /** The address that is looked for, if any. */
  to: string | undefined;
  /** Mails go out by a mail server, so none will come to be here. */
  isBypassed: boolean;
}

const styles = `
:root {
  color-scheme: light dark;
  --page: #fff; --card: #f6f7f9; --line: #d3d8df; --ink: #1b1f27; --quiet: #57606e; --accent: #0b5fb0; --sheet: #fff;
}
@media (prefers-color-scheme: dark) {
  :root { --page: #12151a; --card: #1a1f26; --line: #39414d; --ink: #e8ebf0; --quiet: #a4adba; --accent: #7db8f5; --sheet: #15181e; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 400 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
header, main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem; }
main { padding-top: 0; }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 0; font-size: 1.125rem; line-height: 1.35; overflow-wrap: anywhere; }
h3 { margin: 0 0 0.5rem; font-size: 0.875rem; font-weight: 600; color: var(--quiet); }
p { margin: 0.25rem 0 0; }
.quiet { color: var(--quiet); }
a { color: var(--accent); }
form { display: flex; flex-wrap: wrap; gap: 0.5rem; margin-top: 1rem; align-items: end; }
label { flex: 1 1 14rem; max-width: 24rem; font-size: 0.875rem; color: var(--quiet); }
input { display: block; width: 100%; margin-top: 0.25rem; padding: 0.5rem 0.75rem; min-height: 2.75rem; font: inherit; color: var(--ink); background: var(--page); border: 1px solid var(--quiet); border-radius: 6px; }
::placeholder { color: var(--quiet); opacity: 1; }
button, .button { display: inline-flex; align-items: center; min-height: 2.75rem; padding: 0.5rem 1rem; font: inherit; font-weight: 600; color: var(--accent); background: transparent; border: 1px solid var(--accent); border-radius: 6px; text-decoration: none; cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 1rem; }
article { border: 1px solid var(--line); border-radius: 10px; background: var(--card); padding: 1rem; }
.meta { overflow-wrap: anywhere; }
.parts { display: grid; gap: 1rem; margin-top: 1rem; }
.parts > section { min-width: 0; }
pre { margin: 0; padding: 1rem; max-height: 22rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--page); border: 1px solid var(--line); border-radius: 6px; font: 400 0.9375rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
iframe { display: block; width: 100%; height: 22rem; background: var(--sheet); border: 1px solid var(--line); border-radius: 6px; }
.empty { border: 1px dashed var(--line); border-radius: 10px; padding: 2.5rem 1rem; text-align: center; }
@media (min-width: 60rem) { .parts { grid-template-columns: 1fr 1fr; } pre { height: 22rem; } header, main { padding-left: 2rem; padding-right: 2rem; } }
`;

/** Nothing but our own style sheet and form, and the mails in frames of their own. */
export const pagePolicy = [
  `default-src 'none'`,
  `style-src 'sha256-${createHash('sha256').update(styles).digest('base64')}'`,
  `frame-src 'self'`,
  `form-action 'self'`,
  `base-uri 'none'`,
  `frame-ancestors 'none'`,
].join('; ');

/** The HTML of a mail, as a mail program shows it: no script, no request, nothing of this origin. */
export const mailPolicy = `default-src 'none'; style-src 'unsafe-inline'; sandbox; base-uri 'none'; form-action 'none'; frame-ancestors 'self'`;

/** The page that shows a developer the mails. */
export function renderDevMailbox(view: DevMailboxView): string {
  const { mails, to } = view;
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Development mailbox – Gatelodge</title>
    <style>${rawStyles}</style>
  </head>
  <body>
    <header>
      <h1>Development mailbox</h1>
      <p class="quiet">Mails of this node, newest first. They are kept in memory and never sent.</p>
      <form method="get" action="/dev/mailbox">
        <label>Only mails to<input type="email" name="to" value="${to ?? ''}" autocomplete="off" placeholder="alice@example.com"></label>
        <button type="submit">Show</button>
        ${to === undefined ? [] : [html`<a class="button" href="/dev/mailbox">Show all</a>`]}
      </form>
    </header>
    <main>
      ${mails.length === 0 ? emptyBox(view) : html`<ol>${mails.map(mailItem)}</ol>`}
    </main>
  </body>
</html>
`.text;
}

/** In a style element nothing is escaped, and this is a text of our own. */
const rawStyles = ownHtml(styles);

function emptyBox({ to, isBypassed }: DevMailboxView): Html {
  if (isBypassed)
    return html`<div class="empty"><p>Mails go out by the mail server of <code>SMTP_URL</code>. Unset it to see them here.</p></div>`;
  if (to !== undefined) return html`<div class="empty"><p>No mail to this address so far.</p></div>`;
  return html`<div class="empty"><p>No mail so far.</p><p class="quiet">Ask for a sign-in code, and reload this page.</p></div>`;
}

function mailItem({ id, to, subject, text, created_at: createdAt }: ShownMail): Html {
  return html`
        <li>
          <article aria-labelledby="${id}">
            <h2 id="${id}">${subject}</h2>
            <p class="quiet meta">To ${to}, <time datetime="${createdAt}">${createdAt.replace('T', ' ').replace(/\.\d+Z$/, ' UTC')}</time></p>
            <div class="parts">
              <section>
                <h3>Text</h3>
                <pre tabindex="0">${text}</pre>
              </section>
              <section>
                <h3>HTML</h3>
                <iframe src="/dev/mailbox/${id}" title="HTML of this mail" sandbox loading="lazy"></iframe>
              </section>
            </div>
          </article>
        </li>`;
}
