import type { Adapter, RecordPayload } from 'oidc-provider';
import type { ClientDirectory } from '../clients/client-directory.ts';
import { toClientMetadata } from './client-metadata.ts';
import { asLibraryError } from './library-errors.ts';
import type { IssuerRuntime } from './runtime.ts';

type How = Parameters<typeof toClientMetadata>[1];

/** The clients of an issuer, which are managed elsewhere. One that is suspended is as if there were none. */
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
      const { issuer } = this.#runtime;
      const client = await this.#clients.find(issuer.id, id, issuer.account.id);
      return client === null || client.status !== 'active' ? undefined : toClientMetadata(client, this.#how);
    } catch (error) {
      throw asLibraryError(error);
    }
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
