import { html } from '../../mail/html.ts';
import { hiddenOf, none, type Page, type Surface } from '../page.ts';
import { alertOf, type Fault, faultOf } from './fault.ts';
import { requestLine } from './notice-page.ts';

/** Where a user types the code that a device shows (RFC 8628 §3.3). */
export function userCodePage(
  { texts }: Surface,
  {
    action,
    xsrf,
    userCode,
    isUnknown,
  }: { action: string; xsrf: string; userCode: string; isUnknown: boolean },
): Page {
  const of = texts.device;
  const shown: Fault | null = isUnknown ? { status: 422, message: of.unknown } : null;
  return {
    status: 200,
    hasError: isUnknown,
    title: of.title,
    body: html`
<p class="lead">${userCode === '' || isUnknown ? of.lead : of.compare}</p>
${alertOf(shown, 'user_code')}
<form method="post" action="${action}">
${hiddenOf({ xsrf })}
<label for="user_code">${of.label}</label>
<input id="user_code" class="code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="40" required autofocus value="${userCode}"${faultOf(shown)}>
<button type="submit">${texts.continue}</button>
</form>`,
  };
}

/** Where a user says that it is its own device that shows this code: somebody else may have sent it here (§5.4). */
export function confirmDevicePage(
  { texts }: Surface,
  {
    action,
    xsrf,
    userCode,
    shownCode,
    client,
  }: Record<'action' | 'xsrf' | 'userCode' | 'shownCode' | 'client', string>,
): Page {
  const of = texts.device;
  return {
    status: 200,
    title: of.confirmTitle,
    body: html`
<p class="lead">${of.confirm(client)}</p>
<p class="device-code"><code>${shownCode}</code></p>
<p class="quiet">${of.warning}</p>
<form method="post" action="${action}">
${hiddenOf({ xsrf, user_code: userCode, confirm: 'yes' })}
<button type="submit">${of.yes}</button>
<button type="submit" class="plain" name="abort" value="yes">${of.no}</button>
</form>`,
  };
}

export function deviceDonePage({ texts }: Surface): Page {
  const { title, text } = texts.device.done;
  return { status: 200, title, body: html`<p class="lead" role="status">${text}</p>` };
}

/** For who has said no, and for whom it went wrong. */
export function deviceEndedPage(
  { texts }: Surface,
  how: { status: number; requestId: string; isRefused: boolean; onward: string },
): Page {
  const { status, requestId, isRefused, onward } = how;
  const { title, text } = isRefused ? texts.device.refused : texts.device.failed;
  return {
    status,
    hasError: !isRefused,
    title,
    body: html`
<p class="lead" role="status">${text}</p>
<p><a class="button" href="${onward}">${texts.device.again}</a></p>
${isRefused ? none : requestLine(texts, requestId)}`,
  };
}
