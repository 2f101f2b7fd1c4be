import type { Adapter, RecordPayload } from 'oidc-provider';
import type { ClientDirectory } from '../clients/client-directory.ts';
import type { ClientRecord } from '../clients/client-record.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import { toClientMetadata } from './client-metadata.ts';
import { asLibraryError } from './library-errors.ts';
import type { IssuerRuntime } from './runtime.ts';

type How = Parameters<typeof toClientMetadata>[1];

/**
 * The clients of an issuer, which are managed elsewhere. One that is suspended is as if there were none, and so is one whose
 * tokens have to be bound to keys where the issuer has turned that off.
 */
export class ClientAdapter implements Adapter {
  readonly #runtime: IssuerRuntime;
  readonly #clients: ClientDirectory;
  readonly #how: How;

  constructor(runtime: IssuerRuntime, clients: ClientDirectory, how: How) {
    this.#runtime = runtime;
    this.#clients = clients;
    this.#how = how;
  }

  async find(id: string): Promise<RecordPayload | undefined> {
    try {
      const { issuer, context } = this.#runtime;
      if (isId(idPrefixes.client, id)) noteOnRequest(context.info(), { clientId: id });
      const client = await this.#clients.find(issuer.id, id, issuer.account.id);
      if (client === null) return undefined;
      if (client.status !== 'active') return this.#passedOver('the client is suspended');
      if (this.#wantsMore(client))
        return this.#passedOver('the client wants tokens bound to keys, and the issuer has DPoP off');
      return toClientMetadata(client, this.#how);
    } catch (error) {
      throw asLibraryError(error);
    }
  }

  /** Tokens that are to be bound to a key can't be: unbound ones would be worth more to a thief than the client wants. */
  #wantsMore({ settings }: ClientRecord): boolean {
    return settings.openid.dpop_bound_access_tokens && !this.#runtime.oidc.dpop;
  }

  #passedOver(circumstance: string): undefined {
    noteOnRequest(this.#runtime.context.info(), { circumstance });
  }

  upsert(): Promise<void> {
    return Promise.reject(new Error('clients are made elsewhere'));
  }

  findByUid(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  findByUserCode(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  consume(): Promise<void> {
    return Promise.reject(new Error('a client is not used up'));
  }

  destroy(): Promise<void> {
    return Promise.reject(new Error('clients are deleted elsewhere'));
  }

  revokeByGrantId(): Promise<void> {
    return Promise.resolve();
  }
}
