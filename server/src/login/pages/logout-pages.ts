import { html } from '../../mail/html.ts';
import { hiddenOf, type Page, type Surface } from '../page.ts';
import type { FormTargets } from '../page-headers.ts';

/** Whether the user wants to sign out: another site may have sent it here (RP-Initiated Logout 1.0 §2). */
export function confirmLogoutPage(
  { texts, brand }: Surface,
  { action, xsrf, targets }: { action: string; xsrf: string; targets: FormTargets },
): Page {
  const of = texts.logout;
  return {
    status: 200,
    title: of.title,
    targets,
    body: html`
<p class="lead">${of.lead(brand ?? '')}</p>
<form method="post" action="${action}">
${hiddenOf({ xsrf })}
<button type="submit" name="logout" value="yes" autofocus>${of.confirm}</button>
<button type="submit" class="plain">${of.stay}</button>
</form>`,
  };
}

/** For who is not sent back to a client. */
export function loggedOutPage({ texts }: Surface): Page {
  const { title, text } = texts.logout.done;
  return { status: 200, title, body: html`<p class="lead" role="status">${text}</p>` };
}
