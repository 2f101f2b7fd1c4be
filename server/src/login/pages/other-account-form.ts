import { type Html, html } from '../../mail/html.ts';
import { hiddenOf } from '../page.ts';
import type { Texts } from '../texts.ts';

/** For whoever is signed in as somebody that it does not want to go on as. The last form of its page. */
export function otherAccountForm({ consent }: Texts, path: string, token: string): Html {
  return html`<form class="others" method="post" action="${path}">
${hiddenOf({ action: 'other-account', token })}
<button type="submit" class="link">${consent.otherAccount}</button>
</form>`;
}
