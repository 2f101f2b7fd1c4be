import { html } from '../../mail/html.ts';
import { hiddenOf, type Page, type Surface } from '../page.ts';
import type { FormTargets } from '../page-headers.ts';

/** Whether the user wants to sign out: another site may have sent it here (RP-Initiated Logout 1.0 §2). */
export function confirmLogoutPage(
  { texts, brand }: Surface,
  {
    action,
    fields,
    targets,
  }: { action: string; fields: Readonly<Record<string, string>>; targets: FormTargets },
): Page {
  const of = texts.logout;
  return {
    status: 200,
    title: of.title,
    targets,
    body: html`
<p class="lead">${of.lead(brand ?? '')}</p>
<form method="post" action="${action}">
${hiddenOf(fields)}
<button type="submit" autofocus>${of.confirm}</button>
</form>
<p class="quiet">${of.stay}</p>`,
  };
}

/** For who is not sent back to a client. */
export function loggedOutPage({ texts }: Surface): Page {
  const { title, text } = texts.logout.done;
  return { status: 200, title, body: html`<p class="lead" role="status">${text}</p>` };
}
