import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Provider } from 'oidc-provider';
import { AppError } from '../errors.ts';
import type { KeyMaterial } from '../signing-keys/key-material.ts';
import type { KeySet } from '../signing-keys/key-set.ts';
import type { IssuerRecord } from '../verification/records.ts';
import type { IssuerSettings } from './issuer-settings.ts';
import { createProvider, type ProviderDependencies } from './provider.ts';
import { IssuerRuntime, type RuntimeDependencies } from './runtime.ts';

/** About 40 KiB of memory each. */
const heldProviders = 1_000;

/** The library for one issuer, as long as nothing changes that it was made from. */
export interface HeldProvider {
  readonly runtime: IssuerRuntime;
  readonly provider: Provider;
  readonly callback: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  readonly set: KeySet;
  readonly signer: KeyMaterial;
}

/**
 * The library of each issuer, made when it is first needed. Bounded; one that nobody has asked for long is made again,
 * which takes about half a millisecond. Only for issuers that there are.
 */
export class OidcProviders {
  readonly #deps: RuntimeDependencies & ProviderDependencies & { issuerSettings: IssuerSettings };
  readonly #held: LRUCache<string, HeldProvider>;
  readonly #inFlight = new Map<IssuerRecord, Promise<HeldProvider>>();

  constructor(
    deps: RuntimeDependencies & ProviderDependencies & { issuerSettings: IssuerSettings },
    max = heldProviders,
  ) {
    this.#deps = deps;
    this.#held = new LRUCache({ max });
  }

  /** How many are held. */
  get size(): number {
    return this.#held.size;
  }

  /** At once where it is held. @throws not_found where the issuer is gone; unavailable (503) */
  of(issuer: IssuerRecord): HeldProvider | Promise<HeldProvider> {
    const set = this.#deps.signingKeys.keySet(issuer.id);
    if (!(set instanceof Promise)) {
      const held = this.#heldFor(issuer, set);
      if (held !== undefined) return held;
    }
    let loading = this.#inFlight.get(issuer);
    if (loading === undefined) {
      loading = this.#make(issuer).finally(() => this.#inFlight.delete(issuer));
      this.#inFlight.set(issuer, loading);
    }
    return loading;
  }

  /** Keys are held beside the record of their issuer, so of another record they are others. */
  #heldFor(issuer: IssuerRecord, set: KeySet | null): HeldProvider | undefined {
    const held = this.#held.get(issuer.id);
    if (held === undefined || held.runtime.issuer !== issuer || held.set !== set) return undefined;
    return held.signer === set.signer(this.#deps.now().getTime()) ? held : undefined;
  }

  async #make(issuer: IssuerRecord): Promise<HeldProvider> {
    const { signingKeys, issuerSettings, now } = this.#deps;
    const set = await signingKeys.keySet(issuer.id);
    const settings = await issuerSettings.of(issuer);
    if (set === null || settings === null) throw new AppError('not_found');
    const held = this.#heldFor(issuer, set);
    if (held !== undefined) return held;
    const signer = set.signer(now().getTime());
    if (signer === undefined) throw new Error(`no signing key of issuer ${issuer.id} opens`);
    const runtime = new IssuerRuntime(this.#deps, { issuer, ...settings });
    const provider = createProvider(runtime, { set, signer }, this.#deps);
    const made = { runtime, provider, callback: provider.callback(), set, signer };
    if (!issuer.isStale) this.#held.set(issuer.id, made);
    return made;
  }
}
