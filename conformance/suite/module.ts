import type { Trial } from './trial.ts';

/** One black-box test of a provider, under the name that the OpenID Foundation's suite gives it. */
export interface ConformanceModule {
  readonly name: string;
  /** One sentence: what a pass shows. */
  readonly shows: string;
  /** Says by `trial` what it finds; an error of any other kind is a failure too. */
  readonly run: (trial: Trial) => Promise<void>;
}

/** A list of modules that are a certification profile. */
export interface ConformancePlan {
  readonly name: string;
  readonly profile: string;
  readonly modules: readonly ConformanceModule[];
}

/** A module that the plan leaves out for clients that are registered by hand, and why. */
export function skippedForStaticClients(name: string, shows: string, reason: string): ConformanceModule {
  return {
    name,
    shows: `(left out for static clients) ${shows}`,
    run: async (trial) => trial.skip(reason),
  };
}
