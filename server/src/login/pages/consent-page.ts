import { html } from '../../mail/html.ts';
import type { ConsentGranted } from '../../postgres/schema.ts';
import { hiddenOf, none, type Page, type Surface } from '../page.ts';
import type { FormTargets } from '../page-headers.ts';
import type { Texts } from '../texts.ts';
import type { FlowForm } from './address-page.ts';

interface ShownConsent {
  readonly asked: ConsentGranted;
  readonly username: string | null;
  readonly targets: FormTargets;
}

/** Whether an external client may have what it asks for. */
export function consentPage(
  { texts }: Surface,
  { path, token, client }: FlowForm,
  { asked, username, targets }: ShownConsent,
): Page {
  const of = texts.consent;
  const grants = [...grantsIn(asked, texts), inOrganizations(asked.organization_scopes, texts)];
  return {
    status: 200,
    title: of.title(client),
    targets,
    body: html`
${username === null ? none : html`<p class="lead">${of.as} <strong>${username}</strong></p>`}
<p>${of.lead}</p><ul class="grants">${grants.map((grant) => html`<li><span>${grant}</span></li>`)}</ul>
<form method="post" action="${path}">
${hiddenOf({ action: 'consent', token })}
<button type="submit" name="decision" value="allow">${of.allow}</button>
<button type="submit" class="plain" name="decision" value="deny">${of.deny}</button>
</form>
<p class="quiet">${targets.redirectUri === null ? of.device : of.destination(hostOf(targets.redirectUri))}</p>`,
  };
}

/** In the user's words where there are some; scopes of the account's own API by their names. */
function grantsIn({ openid, claims, resources }: ConsentGranted, texts: Texts): string[] {
  const of = texts.consent;
  const standard: Readonly<Record<string, string>> = of.scopes;
  const ownScopes = [...new Set(Object.values(resources).flat())];
  return [
    ...openid.map((scope) => (Object.hasOwn(standard, scope) ? standard[scope]! : of.api(scope))),
    ...(claims.length === 0 ? [] : [of.claims(claims.join(', '))]),
    ...ownScopes.map((scope) => of.api(scope)),
  ];
}

/** Its tokens name the user's organizations whatever it has asked for. */
function inOrganizations(scopes: readonly string[] | null, { consent }: Texts): string {
  const { all, none: names, only } = consent.organizations;
  if (scopes === null) return all;
  return scopes.length === 0 ? names : only(scopes.join(', '));
}

/** What the user can tell a site by; of an application on the device, its scheme. */
function hostOf(redirectUri: string): string {
  const url = URL.parse(redirectUri);
  if (url === null) return redirectUri;
  return url.protocol === 'https:' || url.protocol === 'http:' ? url.host : url.protocol;
}
