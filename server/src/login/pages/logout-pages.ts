import { html } from '../../mail/html.ts';
import { hiddenOf, none, type Page, type Surface } from '../page.ts';
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
<p><a class="button plain" href="${action}?stay=yes">${of.stay}</a></p>`,
  };
}

/** For who has said no. */
export function stillSignedInPage({ texts }: Surface): Page {
  const { title, text } = texts.logout.stayed;
  return { status: 200, title, body: html`<p class="lead" role="status">${text}</p>` };
}

/** For who is not sent back to a client. @param onward the way there, where the user is to decide whether to go */
export function loggedOutPage({ texts }: Surface, onward: string | null): Page {
  const { done, goOn } = texts.logout;
  return {
    status: 200,
    title: done.title,
    body: html`
<p class="lead" role="status">${done.text}</p>
${onward === null ? none : html`<p><a class="button" href="${onward}">${goOn(hostOf(onward))}</a></p>`}`,
  };
}

/** What says where a URI leads; of one with a scheme of its own that scheme, which says whose application it is. */
function hostOf(uri: string): string {
  const { protocol, host } = new URL(uri);
  return protocol === 'https:' || protocol === 'http:' ? host : protocol.slice(0, -1);
}
