import { type Html, html } from '../../mail/html.ts';
import { hiddenOf, monogram, none, type Page, type Surface } from '../page.ts';
import type { FormTargets } from '../page-headers.ts';
import type { FlowForm } from './address-page.ts';
import { otherAccountForm } from './other-account-form.ts';

/** An organization that the user may go on with. */
export interface Choice {
  readonly id: string;
  readonly name: string;
}

/** A part of the user's organizations. */
export interface Choices {
  readonly choices: readonly Choice[];
  /** There are more in this order. */
  readonly hasMore: boolean;
  /** There are so many that they are looked for by name. */
  readonly isSearchable: boolean;
  readonly query: string;
  readonly isFirstPage: boolean;
  /** Whose they are, as the user knows itself. */
  readonly username: string | null;
}

/**
 * Which organization the tokens are to be for. The search belongs to a form that stands behind the choices, which are the
 * page's first.
 */
export function organizationPage(
  { texts }: Surface,
  { path, token, client }: FlowForm,
  { choices, hasMore, isSearchable, query, isFirstPage, username }: Choices,
  targets: FormTargets,
): Page {
  const of = texts.organization;
  const last = choices.at(-1);
  const next = new URLSearchParams({ ...(query !== '' && { q: query }), after: last?.id ?? '' }).toString();
  const isPart = !isFirstPage || query !== '';
  const isOnlyOne = choices.length === 1 && !isPart;
  return {
    status: 200,
    title: of.title,
    targets,
    body: html`
${username === null ? none : html`<p class="lead">${texts.consent.as} <strong>${username}</strong></p>`}
<p>${(isOnlyOne ? of.left : of.lead)(client)}</p>
${
  isSearchable
    ? html`<search class="search">
<label for="q">${of.search}</label>
<div><input id="q" name="q" form="search" type="search" maxlength="200" autocomplete="off" value="${query}">
<button type="submit" class="plain" form="search">${texts.search}</button></div>
</search>`
    : none
}
${
  last === undefined && query !== ''
    ? html`<p role="status">${of.none(query)}</p>
<p><a class="button" href="${path}">${of.showAll}</a></p>`
    : none
}
<form method="post" action="${path}">
${hiddenOf({ action: 'organization', token })}
${last === undefined ? none : html`<ul class="choices">${choices.map(choiceOf)}</ul>`}
${
  last !== undefined && (hasMore || isPart)
    ? html`<nav class="paging">
${hasMore ? html`<a class="link" href="${path}?${next}">${of.more}</a>` : none}
${isPart ? html`<a class="link" href="${path}">${query === '' ? of.first : of.showAll}</a>` : none}
</nav>`
    : none
}
${isOnlyOne ? none : html`<button type="submit" class="plain" name="organization" value="all">${of.all}</button>`}
</form>
${isSearchable ? html`<form id="search" method="get" action="${path}"></form>` : none}
${username === null ? none : otherAccountForm(texts, path, token)}`,
  };
}

function choiceOf({ id, name }: Choice): Html {
  return html`<li><button type="submit" name="organization" value="${id}">${monogram(name)}<span class="name">${name}</span></button></li>`;
}
