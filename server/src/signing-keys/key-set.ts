import { type CachedDocument, cachedDocument } from '../edge/cached-document.ts';
import type { IssuerRecord } from '../verification/records.ts';
import type { KeyMaterial } from './key-material.ts';
import { isPublished, type KeyTimes, signerAt } from './signing-key.ts';

/** A key with the times that it has. */
export interface IssuerKey extends KeyTimes {
  readonly material: KeyMaterial;
}

/** The keys of one issuer, as they stood when its record was read. */
export class KeySet {
  /** Of a later record these may not be the keys any more. */
  readonly issuer: IssuerRecord;
  /** In the order in which they sign. */
  readonly newestFirst: readonly IssuerKey[];
  readonly #byHeader: ReadonlyMap<string, IssuerKey>;
  #document: CachedDocument | null = null;
  #documentUntilMs = 0;

  constructor(issuer: IssuerRecord, newestFirst: readonly IssuerKey[]) {
    this.issuer = issuer;
    this.newestFirst = newestFirst;
    this.#byHeader = new Map(newestFirst.map((key) => [key.material.header, key]));
  }

  signer(nowMs: number): KeyMaterial | undefined {
    return signerAt(this.newestFirst, nowMs)?.material;
  }

  /** The key whose access tokens begin with this, while it is published. */
  keyOfHeader(header: string, nowMs: number): KeyMaterial | undefined {
    const key = this.#byHeader.get(header);
    return key !== undefined && isPublished(key, nowMs) ? key.material : undefined;
  }

  material(id: string): KeyMaterial | undefined {
    return this.newestFirst.find(({ material }) => material.id === id)?.material;
  }

  /** The key set as it is published (RFC 7517 §5). Made anew when the time of one of its keys is over. */
  document(nowMs: number): CachedDocument {
    if (this.#document === null || nowMs >= this.#documentUntilMs) {
      const published = this.newestFirst.filter((key) => isPublished(key, nowMs));
      const ends = published.map(({ expiresAt }) => expiresAt?.getTime() ?? Number.POSITIVE_INFINITY);
      this.#document = cachedDocument(
        JSON.stringify({ keys: published.map(({ material }) => material.publicJwk) }),
      );
      this.#documentUntilMs = Math.min(Number.POSITIVE_INFINITY, ...ends);
    }
    return this.#document;
  }

  /** Whether both hold the same keys with the same times. */
  equals({ newestFirst }: KeySet): boolean {
    return JSON.stringify(this.newestFirst.map(timesOf)) === JSON.stringify(newestFirst.map(timesOf));
  }
}

function timesOf({ material, activatesAt, expiresAt }: IssuerKey) {
  return [material.id, activatesAt, expiresAt];
}
