import type { Interactions } from '../oidc/interactions.ts';
import { consentPage } from './pages/consent-page.ts';
import type { Reply, Step, Visit } from './visit.ts';

/** Whether a client may. */
export class ConsentStep implements Step {
  readonly #interactions: Interactions;

  constructor(interactions: Interactions) {
    this.#interactions = interactions;
  }

  async show({ loaded, surface, form, state }: Visit): Promise<Reply> {
    const username = await this.#interactions.usernameOf(loaded);
    const organization = await this.#interactions.organizationOf(loaded);
    const { asked, client, runtime } = loaded;
    const shown = { asked, client, username, organization, ownResource: runtime.url };
    const page = consentPage(surface, form, shown);
    return { page, state };
  }

  async take(visit: Visit, action: string, fields: URLSearchParams): Promise<Reply> {
    const { exchange, loaded } = visit;
    if (action === 'other-account')
      return { onward: await this.#interactions.useOtherAccount(exchange, loaded) };
    const decision = action === 'consent' ? fields.get('decision') : null;
    if (decision === 'allow') return { onward: await this.#interactions.finishConsent(exchange, loaded) };
    if (decision === 'deny') return { onward: await this.#interactions.abort(exchange, loaded) };
    // What says neither allows nothing.
    return { state: visit.state };
  }
}
