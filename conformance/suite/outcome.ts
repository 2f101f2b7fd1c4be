/**
 * `skipped-by-plan`: the plan itself leaves the module out, for a static client or for what the provider says that it
 * does not do.
 */
export type Outcome = 'pass' | 'warning' | 'fail' | 'skipped-by-plan';

/** What a module found out about a provider. */
export interface Verdict {
  readonly module: string;
  readonly plan: string;
  readonly outcome: Outcome;
  /** Why it failed, warns or was skipped; each names what the specification wants. */
  readonly reasons: readonly string[];
  readonly milliseconds: number;
}

/** Ends a module at once: what comes next needs what is missing. */
export class ModuleStopped extends Error {
  override readonly name = 'ModuleStopped';
}

/** Ends a module that the plan leaves out. */
export class ModuleSkipped extends Error {
  override readonly name = 'ModuleSkipped';
}
