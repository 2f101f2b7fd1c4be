import { type Html, html } from '../../mail/html.ts';
import { hiddenOf, none, type Page, type Surface } from '../page.ts';
import type { FormTargets } from '../page-headers.ts';
import type { FlowForm } from './address-page.ts';
import { alertOf, answering, type Fault, faultOf } from './fault.ts';

interface ShownCode {
  address: string;
  fault: Fault | null;
  isResent: boolean;
  resendInSeconds: number;
  targets: FormTargets;
}

/** The second page: the code that was mailed. It says the same whoever the address belongs to. */
export function codePage(
  surface: Surface,
  { path, token }: FlowForm,
  { address, fault, isResent, resendInSeconds, targets }: ShownCode,
): Page {
  const { texts } = surface;
  const of = texts.code;
  return {
    ...answering(fault),
    title: of.title,
    targets,
    body: html`
<p class="lead">${of.sent} <strong>${address}</strong>${of.sentAfter}</p>
${alertOf(fault, 'code')}
${isResent ? html`<p class="status" role="status">${of.resent}</p>` : none}
<form method="post" action="${path}">
${hiddenOf({ action: 'code', token })}
<label for="code">${of.label}</label>
<input id="code" class="code" name="code" type="text" inputmode="numeric" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" maxlength="40" required autofocus${faultOf(fault)}>
<button type="submit">${of.submit}</button>
</form>
<form class="others" method="post" action="${path}">
${hiddenOf({ token })}
<p class="quiet">${whereMailsAre(surface)}</p>
<button type="submit" class="link" name="action" value="resend"${waiting(resendInSeconds, of.resendIn)}>${of.resend}</button>
<button type="submit" class="link" name="action" value="change">${of.change}</button>
</form>`,
  };
}

/** Another tab shows the mails, so that the form stays. */
function whereMailsAre({ texts, isSandbox, mailboxPath }: Surface): Html {
  if (isSandbox) return html`${texts.sandboxHint}`;
  if (mailboxPath === null) return html`${texts.code.noneYet}`;
  return html`${texts.code.inDevelopment} <a href="${mailboxPath}" target="_blank" rel="noopener">${mailboxPath}</a>.`;
}

/** In its place once the code has had all of its guesses: there is nothing to be typed, and another code to be sent. */
export function spentCodePage(
  { texts, isSandbox }: Surface,
  { path, token }: FlowForm,
  { address, fault, resendInSeconds }: Pick<ShownCode, 'address' | 'fault' | 'resendInSeconds'>,
): Page {
  const of = texts.code;
  return {
    ...answering(fault),
    title: of.spentTitle,
    body: html`
<p class="lead">${of.as} <strong>${address}</strong></p>
${fault === null ? html`<p>${of.spent}</p>` : alertOf(fault, null)}
<form method="post" action="${path}">
${hiddenOf({ action: 'resend', token })}
<button type="submit"${waiting(resendInSeconds, of.resendIn)}>${of.resend}</button>
</form>
<form class="others" method="post" action="${path}">
${hiddenOf({ token })}
${isSandbox ? html`<p class="quiet">${texts.sandboxHint}</p>` : none}
<button type="submit" class="link" name="action" value="change">${of.change}</button>
</form>`,
  };
}

/** What the script counts down by. */
function waiting(seconds: number, text: string): Html {
  return seconds > 0 ? html` data-wait-seconds="${seconds}" data-wait-text="${text}"` : none;
}
