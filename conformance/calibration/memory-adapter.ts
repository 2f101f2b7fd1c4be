interface Payload {
  readonly uid?: string;
  readonly userCode?: string;
  readonly grantId?: string;
  consumed?: number;
}

interface Entry {
  readonly payload: Payload;
  readonly expiresAtMs: number;
}

/**
 * Where one bare provider keeps what it has to remember, behind the interface that oidc-provider documents for
 * adapters. Its own in-memory one is shared by all providers of a process, and drops the oldest of a thousand records.
 */
export class MemoryAdapter {
  readonly #entries = new Map<string, Entry>();

  async upsert(id: string, payload: Payload, expiresInSeconds: number | undefined): Promise<void> {
    const lifeMs = expiresInSeconds === undefined ? Number.POSITIVE_INFINITY : expiresInSeconds * 1_000;
    this.#entries.set(id, { payload, expiresAtMs: Date.now() + lifeMs });
  }

  async find(id: string): Promise<Payload | undefined> {
    const entry = this.#entries.get(id);
    return entry !== undefined && entry.expiresAtMs > Date.now() ? entry.payload : undefined;
  }

  async findByUid(uid: string): Promise<Payload | undefined> {
    return this.#payloads().find((payload) => payload.uid === uid);
  }

  async findByUserCode(userCode: string): Promise<Payload | undefined> {
    return this.#payloads().find((payload) => payload.userCode === userCode);
  }

  async consume(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.payload.consumed = Math.floor(Date.now() / 1_000);
  }

  async destroy(id: string): Promise<void> {
    this.#entries.delete(id);
  }

  async revokeByGrantId(grantId: string): Promise<void> {
    for (const [id, { payload }] of this.#entries) if (payload.grantId === grantId) this.#entries.delete(id);
  }

  #payloads(): Payload[] {
    const now = Date.now();
    return [...this.#entries.values()]
      .filter(({ expiresAtMs }) => expiresAtMs > now)
      .map(({ payload }) => payload);
  }
}
