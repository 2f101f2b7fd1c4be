import { setTimeout as sleep } from 'node:timers/promises';
import { meteredByKey } from './check-metering.ts';
import type { MeteredLoad } from './metered-load.ts';
import type { MeteredWorld } from './metered-world.ts';

const pauseMs = 30;
/** A reading that has waited so long for the fold is answered with what there is. */
const patienceMs = 2_000;

/**
 * Reads usage again and again while a load is at work, and keeps what was acknowledged before it asked and is missing.
 * Each reading folds the ledger, so that a kill hits the fold at work.
 */
export class UsageReader {
  readonly missing: string[] = [];
  /** How many readings were answered. */
  readings = 0;
  readonly #load: MeteredLoad;
  readonly #world: MeteredWorld;
  #isRunning = false;
  #reading: Promise<void> = Promise.resolve();

  constructor(load: MeteredLoad, world: MeteredWorld) {
    this.#load = load;
    this.#world = world;
  }

  start(): void {
    this.#isRunning = true;
    this.#reading = this.#read();
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    await this.#reading;
  }

  async #read(): Promise<void> {
    while (this.#isRunning) {
      await sleep(pauseMs);
      const before = structuredClone(this.#load.acknowledged);
      const beganAt = performance.now();
      // The server or Postgres may be away.
      const metered = await meteredByKey(this.#world).catch(() => null);
      if (metered === null || performance.now() - beganAt >= patienceMs) continue;
      this.readings++;
      for (const [keyId, codes] of before) {
        for (const [code, least] of codes) {
          const count = metered.get(keyId)?.get(code) ?? 0;
          if (count < least) this.missing.push(`${keyId} ${code}: ${count}, not ${least}`);
        }
      }
    }
  }
}
