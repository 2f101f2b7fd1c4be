import { type Html, html } from '../../mail/html.ts';
import type { LoadedInteraction } from '../../oidc/interactions.ts';
import type { ConsentGranted } from '../../postgres/schema.ts';
import { hiddenOf, none, type Page, type Surface } from '../page.ts';
import type { Texts } from '../texts.ts';
import type { FlowForm } from './address-page.ts';
import { otherAccountForm } from './other-account-form.ts';

interface ShownConsent {
  readonly asked: ConsentGranted;
  readonly client: Pick<LoadedInteraction['client'], 'isRegistered' | 'hasRefreshTokens' | 'redirectUri'>;
  readonly username: string | null;
  /** The name of the one that it is about; null for all. */
  readonly organization: string | null;
  /** Whose permissions need no saying: the issuer's own. */
  readonly ownResource: string;
}

/** Whether an external client may have what it asks for. */
export function consentPage({ texts, brand }: Surface, form: FlowForm, shown: ShownConsent): Page {
  const of = texts.consent;
  const { path, token, client: name } = form;
  const { client, username } = shown;
  const { redirectUri } = client;
  return {
    status: 200,
    title: of.title(name),
    targets: client,
    body: html`
${username === null ? none : html`<p class="lead">${of.as} <strong>${username}</strong></p>`}
${client.isRegistered ? html`<p class="caution">${of.registered(name, brand ?? '')}</p>` : none}
<p>${of.lead}</p><ul class="grants">${grantsIn(shown, texts).map((grant) => html`<li><span>${grant}</span></li>`)}</ul>
<form method="post" action="${path}">
${hiddenOf({ action: 'consent', token })}
<button type="submit" name="decision" value="allow">${of.allow}</button>
<button type="submit" class="plain" name="decision" value="deny">${of.deny}</button>
</form>
<p class="quiet">${redirectUri === null ? of.device : of.destination(hostOf(redirectUri))}</p>
${otherAccountForm(texts, path, token)}`,
  };
}

/**
 * In the user's words where there are some; scopes of the account's own API by their names. Refresh tokens come without
 * being asked for, and the scope of that name brings none; tokens name the user's organizations whatever was asked for.
 */
function grantsIn(
  { asked, client, organization, ownResource }: ShownConsent,
  texts: Texts,
): (Html | string)[] {
  const of = texts.consent;
  const standard: Readonly<Record<string, string>> = of.scopes;
  const { openid, claims, resources, organization_scopes: inOrganizations } = asked;
  return [
    ...openid
      .filter((scope) => scope !== 'offline_access')
      .map((scope) => (Object.hasOwn(standard, scope) ? standard[scope]! : of.api(named([scope])))),
    ...(claims.length === 0 ? [] : [of.claims(named(claims))]),
    ...Object.entries(resources).flatMap(([resource, scopes]): (Html | string)[] => {
      if (resource === ownResource) return scopes.map((scope) => of.api(named([scope])));
      if (scopes.length === 0) return [of.resource(resource)];
      return scopes.map((scope) => of.apiAt(named([scope]), resource));
    }),
    ...(client.hasRefreshTokens ? [of.scopes.offline_access] : []),
    organization === null ? inAll(inOrganizations, texts) : inOne(organization, inOrganizations, texts),
  ];
}

function inAll(scopes: readonly string[] | null, { consent }: Texts): Html | string {
  const { all, none: names, only } = consent.organizations;
  if (scopes === null) return all;
  return scopes.length === 0 ? names : only(named(scopes));
}

function inOne(name: string, scopes: readonly string[] | null, { consent }: Texts): Html | string {
  const { all, none: itself, only } = consent.organization;
  if (scopes === null) return all(name);
  return scopes.length === 0 ? itself(name) : only(name, named(scopes));
}

/** Names as they are, in a row. */
function named(names: readonly string[]): Html {
  return html`${names.map((name, at) => html`${at === 0 ? '' : ', '}<code>${name}</code>`)}`;
}

/** What the user can tell a site by; of an application on the device, its scheme. */
function hostOf(redirectUri: string): string {
  const url = URL.parse(redirectUri);
  if (url === null) return redirectUri;
  return url.protocol === 'https:' || url.protocol === 'http:' ? url.host : url.protocol;
}
