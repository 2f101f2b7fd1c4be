import { html } from '../../mail/html.ts';
import { hiddenOf, none, type Page, type Surface } from '../page.ts';
import { alertOf, answering, type Fault, faultOf } from './fault.ts';

/** What a page of an interaction needs for its forms. */
export interface FlowForm {
  /** Where they are sent: the page's own path. */
  readonly path: string;
  readonly token: string;
  readonly client: string;
}

/** The first page: who it is. */
export function addressPage(
  { texts, isSandbox }: Surface,
  { path, token, client }: FlowForm,
  { address, fault, canHaveCode }: { address: string; fault: Fault | null; canHaveCode: boolean },
): Page {
  const of = texts.address;
  return {
    ...answering(fault),
    title: of.title,
    body: html`
<p class="lead">${of.lead(client)}</p>
${alertOf(fault, 'email')}
<form method="post" action="${path}">
${hiddenOf({ action: 'address', token })}
<label for="email">${of.label}</label>
<input id="email" name="email" type="email" autocomplete="username" autocapitalize="none" spellcheck="false" inputmode="email" maxlength="320" required autofocus value="${address}"${faultOf(fault)}>
<button type="submit">${texts.continue}</button>
</form>
${canHaveCode ? html`<form class="others" method="post" action="${path}">${hiddenOf({ action: 'have-code', token })}<button type="submit" class="link">${of.haveCode}</button></form>` : none}
<p class="quiet">${isSandbox ? texts.sandboxHint : of.hint}</p>`,
  };
}
