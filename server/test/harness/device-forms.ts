import type { ApiAnswer } from './api-client.ts';
import type { OidcBrowser } from './oidc-browser.ts';

/** What the forms of a page of the device flow would send whose user says yes. */
export function formOf(text: string): URLSearchParams {
  return new URLSearchParams(
    [...text.matchAll(/name="([^"]*)" value="([^"]*)"/g)]
      .map(([, name, value]): [string, string] => [name!, value!])
      .filter(([name]) => name !== 'abort'),
  );
}

/** Sends a form of the device flow of an issuer. */
export function submitDeviceForm(
  browser: OidcBrowser,
  issuerId: string,
  form: URLSearchParams,
): Promise<ApiAnswer> {
  return browser.request(`/${issuerId}/device`, {
    method: 'POST',
    body: form.toString(),
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  });
}
