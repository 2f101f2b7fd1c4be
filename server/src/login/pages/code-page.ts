import { html } from '../../mail/html.ts';
import { hiddenOf, none, type Page, type Surface } from '../page.ts';
import type { FormTargets } from '../page-headers.ts';
import type { FlowForm } from './address-page.ts';
import { alertOf, answering, type Fault, faultOf } from './fault.ts';

/** The second page: the code that was mailed. It says the same whoever the address belongs to. */
export function codePage(
  { texts, isSandbox }: Surface,
  { path, token }: FlowForm,
  shown: {
    address: string;
    fault: Fault | null;
    isResent: boolean;
    resendInSeconds: number;
    targets: FormTargets;
  },
): Page {
  const of = texts.code;
  const { address, fault, isResent, resendInSeconds, targets } = shown;
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
<p class="quiet">${isSandbox ? texts.sandboxHint : of.noneYet}</p>
<button type="submit" class="link" name="action" value="resend"${resendInSeconds > 0 ? html` data-wait-seconds="${resendInSeconds}" data-wait-text="${of.resendIn}"` : none}>${of.resend}</button>
<button type="submit" class="link" name="action" value="change">${of.change}</button>
</form>`,
  };
}
