import { html } from '../../mail/html.ts';
import { hiddenOf, monogram, none, type Page, type Surface } from '../page.ts';
import type { FormTargets } from '../page-headers.ts';
import type { FlowForm } from './address-page.ts';

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
}

/** Which organization the tokens are to be for. */
export function organizationPage(
  { texts }: Surface,
  { path, token, client }: FlowForm,
  { choices, hasMore, isSearchable, query, isFirstPage }: Choices,
  targets: FormTargets,
): Page {
  const of = texts.organization;
  const last = choices.at(-1);
  const next = new URLSearchParams({ ...(query !== '' && { q: query }), after: last?.id ?? '' }).toString();
  return {
    status: 200,
    title: of.title,
    targets,
    body: html`
<p class="lead">${of.lead(client)}</p>
<form method="post" action="${path}">
${hiddenOf({ action: 'organization', token })}
${choices.length === 0 ? html`<p role="status">${of.none(query)}</p>` : none}
<ul class="choices">
${choices.map(({ id, name }) => html`<li><button type="submit" name="organization" value="${id}">${monogram(name)}<span class="name">${name}</span></button></li>`)}
</ul>
<button type="submit" class="plain" name="organization" value="all">${of.all}</button>
</form>
${
  isSearchable
    ? html`<nav class="others">
${hasMore && last !== undefined ? html`<a class="link" href="${path}?${next}">${of.more}</a>` : none}
${isFirstPage && query === '' ? none : html`<a class="link" href="${path}">${of.first}</a>`}
</nav>
<form method="get" action="${path}" role="search">
<label for="q">${of.search}</label>
<input id="q" name="q" type="search" maxlength="200" autocomplete="off" value="${query}">
<button type="submit" class="plain">${texts.search}</button>
</form>`
    : none
}`,
  };
}
