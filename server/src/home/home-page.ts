import { renderPlainPage } from '../http/plain-page.ts';
import { html } from '../mail/html.ts';

/** The page at the root, for whoever has just started a server and opens it. It says nothing that anybody may not know. */
export function renderHomePage({ hasDevMailbox }: { hasDevMailbox: boolean }): string {
  const link = (path: string) => html`<a href="${path}"><code>${path}</code></a>`;
  return renderPlainPage(
    'Gatelodge',
    html`<h1>Gatelodge is running</h1>
      <p>There is no dashboard yet: API keys and issuers are made by the API, which ${link('/openapi.json')} describes.</p>
      ${hasDevMailbox ? [html`<p>This is a development server. Its mails are at ${link('/dev/mailbox')}.</p>`] : []}`,
  );
}
