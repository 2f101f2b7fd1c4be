import { idPrefixes, isId } from '../ids/ids.ts';
import type { Interactions } from '../oidc/interactions.ts';
import { findChoices } from './choice-store.ts';
import type { Language } from './language.ts';
import { type Choice, organizationPage } from './pages/organization-page.ts';
import type { Reply, Step, Visit } from './visit.ts';

/** Of more, a part is shown, and they can be looked for. */
const choicesOnPage = 20;

const maxQuery = 200;

/** Which of the user's organizations the tokens are for. */
export class OrganizationStep implements Step {
  readonly #interactions: Interactions;

  constructor(interactions: Interactions) {
    this.#interactions = interactions;
  }

  async show(visit: Visit): Promise<Reply> {
    const { loaded, surface, form, state } = visit;
    const query = (visit.query.get('q') ?? '').slice(0, maxQuery).toWellFormed().replaceAll('\0', '').trim();
    const after = visit.query.get('after');
    const { runtime, issuer, userId } = loaded;
    const found = await runtime.inAccount((tx) =>
      findChoices(tx, {
        accountId: issuer.account.id,
        issuerId: issuer.id,
        userId: userId ?? '',
        query,
      }),
    );
    const sorted = byName(found, surface.language);
    const next = sorted.findIndex(({ id }) => id === after) + 1;
    // What the page before has ended with may be gone, or the last one now.
    const from = next < sorted.length ? next : 0;
    const choices = {
      choices: sorted.slice(from, from + choicesOnPage),
      hasMore: sorted.length > from + choicesOnPage,
      isSearchable: sorted.length > choicesOnPage || query !== '',
      query,
      isFirstPage: from === 0,
      username: await this.#interactions.usernameOf(loaded),
    };
    return { page: organizationPage(surface, form, choices, loaded.client), state };
  }

  /** Whether it is one of the user's own, the runtime looks. */
  async take(visit: Visit, action: string, fields: URLSearchParams): Promise<Reply> {
    if (action === 'other-account')
      return { onward: await this.#interactions.useOtherAccount(visit.exchange, visit.loaded) };
    const chosen = fields.get('organization') ?? '';
    if (action !== 'organization' || (chosen !== 'all' && !isId(idPrefixes.organization, chosen)))
      return { state: visit.state };
    const { exchange, loaded } = visit;
    const organizationId = chosen === 'all' ? null : chosen;
    return { onward: await this.#interactions.finishOrganization(exchange, loaded, organizationId) };
  }
}

/** As a reader of the language looks for them: numbers by their size, capital letters among the others. */
function byName(choices: readonly Choice[], language: Language): Choice[] {
  const { compare } = new Intl.Collator(language, { numeric: true });
  return choices.toSorted((one, other) => compare(one.name, other.name) || (one.id < other.id ? -1 : 1));
}
