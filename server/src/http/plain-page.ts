import { createHash } from 'node:crypto';
import { type Html, html, ownHtml } from '../mail/html.ts';

const styles = `
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 44rem; padding: 1.5rem 1rem; font: 400 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { margin-top: 2rem; font-size: 1.125rem; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
dt { font-weight: 600; }
dd { margin: 0 0 0.5rem; }
`;

/** Of a plain page: nothing but our own style sheet, and nobody frames it. */
export const plainPageHeaders = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': [
    `default-src 'none'`,
    `style-src 'sha256-${createHash('sha256').update(styles).digest('base64')}'`,
    `form-action 'none'`,
    `base-uri 'none'`,
    `frame-ancestors 'none'`,
  ].join('; '),
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'X-Robots-Tag': 'noindex',
} as const;

/** A page for people beside the API, without a script, a form or anything that is loaded. */
export function renderPlainPage(title: string, main: Html): string {
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${title}</title>
    <style>${ownHtml(styles)}</style>
  </head>
  <body>
    <main>
      ${main}
    </main>
  </body>
</html>
`.text;
}
