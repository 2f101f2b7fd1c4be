import { randomInt } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CodeSource } from '../browser/login-driver.ts';
import { accountIdOf } from './accounts.ts';
import type { Interaction, OidcProvider } from './oidc-provider.ts';
import { readForm } from './wire.ts';

/** Where the pages lie; the provider sends browsers here for whatever it needs of the user. */
export const interactionPath = '/interaction/';

/** What satisfies `acr_values_supported` of the bare provider. */
export const acr = 'urn:example:mailed-code';

/**
 * The pages of the bare provider's login, in the form that our own have: an address, the code that was mailed to it,
 * and consent.
 */
export class LoginPages {
  readonly #provider: OidcProvider;
  readonly #addresses = new Map<string, string>();
  readonly #codes = new Map<string, string>();

  constructor(provider: OidcProvider) {
    this.#provider = provider;
  }

  /** The mailbox of everybody who signs in here. */
  readonly codeFor: CodeSource = async (address) => {
    const code = this.#codes.get(address);
    if (code === undefined) throw new Error(`no code was sent to ${address}`);
    return code;
  };

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const interaction = await this.#provider.interactionDetails(request, response);
    if (request.method !== 'POST') return this.#show(interaction, response);
    const form = await readForm(request);
    if (interaction.prompt.name === 'consent') {
      const consent = { grantId: await this.#grant(interaction) };
      return this.#provider.interactionFinished(request, response, { consent });
    }
    const address = form.get('address');
    if (address !== null) this.#send(interaction.uid, address);
    const sentTo = this.#addresses.get(interaction.uid);
    const code = form.get('code');
    if (sentTo === undefined || code === null || code !== this.#codes.get(sentTo)) {
      return this.#show(interaction, response);
    }
    this.#addresses.delete(interaction.uid);
    this.#codes.delete(sentTo);
    const login = { accountId: accountIdOf(sentTo), acr, amr: ['otp'] };
    await this.#provider.interactionFinished(request, response, { login });
  }

  #send(uid: string, address: string): void {
    this.#addresses.set(uid, address);
    this.#codes.set(address, String(randomInt(1_000_000)).padStart(6, '0'));
  }

  #show({ uid, prompt }: Interaction, response: ServerResponse): void {
    if (prompt.name === 'consent') {
      respond(response, '<button>Allow</button><button name="no">Deny</button>');
      return;
    }
    const isSent = this.#addresses.has(uid);
    const field = isSent
      ? '<input name="code" inputmode="numeric" autocomplete="one-time-code">'
      : '<input type="email" name="address">';
    respond(response, `<label>${isSent ? 'Code' : 'E-mail'} ${field}</label> <button>Continue</button>`);
  }

  async #grant({ params, session, grantId, prompt }: Interaction): Promise<string> {
    const { Grant } = this.#provider;
    const known = grantId === undefined ? undefined : await Grant.find(grantId);
    const grant = known ?? new Grant({ accountId: session?.accountId, clientId: String(params.client_id) });
    const { missingOIDCScope, missingOIDCClaims } = prompt.details;
    if (Array.isArray(missingOIDCScope)) grant.addOIDCScope(missingOIDCScope.join(' '));
    if (Array.isArray(missingOIDCClaims)) grant.addOIDCClaims(missingOIDCClaims as string[]);
    return grant.save();
  }
}

function respond(response: ServerResponse, controls: string): void {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  response.end(`<!doctype html><title>Sign in</title><form method="post">${controls}</form>`);
}
