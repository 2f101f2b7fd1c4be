import { html } from '../../mail/html.ts';
import { alertOf, faultOf, hiddenOf, type Page, type Surface } from '../page.ts';

/** Why the page of the user code is shown again. */
export type DeviceFault = 'unknown' | 'failed' | 'refused';

/** Where a user types the code that a device shows (RFC 8628 §3.3). */
export function userCodePage(
  { texts }: Surface,
  {
    action,
    xsrf,
    userCode,
    fault,
  }: { action: string; xsrf: string; userCode: string; fault: DeviceFault | null },
): Page {
  const of = texts.device;
  const message = fault === null ? null : of[fault];
  return {
    status: 200,
    ...(fault !== null && { hasError: true }),
    title: of.title,
    body: html`
<p class="lead">${of.lead}</p>
${alertOf(message, 'user_code')}
<form method="post" action="${action}">
${hiddenOf({ xsrf })}
<label for="user_code">${of.label}</label>
<input id="user_code" class="code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="40" required autofocus value="${userCode}"${faultOf(message)}>
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
