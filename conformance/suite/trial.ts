import { randomBytes } from 'node:crypto';
import { Browser } from '../browser/browser.ts';
import type { Journey, LoginDriver } from '../browser/login-driver.ts';
import type { SuiteConfig } from '../config.ts';
import { ProviderMetadata } from '../protocol/provider-metadata.ts';
import { ModuleSkipped, ModuleStopped } from './outcome.ts';

/** A browser and the user who sits before it. */
export interface Visitor {
  readonly browser: Browser;
  readonly address: string;
}

/** What the modules of a run share: the provider's metadata, and one browser that stays signed in. */
export class Suite {
  readonly config: SuiteConfig;
  readonly driver: LoginDriver;
  #metadata: Promise<ProviderMetadata> | undefined;
  #visitors = 0;
  #regular: Visitor | undefined;

  constructor(config: SuiteConfig, driver: LoginDriver) {
    this.config = config;
    this.driver = driver;
  }

  metadata(): Promise<ProviderMetadata> {
    this.#metadata ??= ProviderMetadata.fetch(this.config.issuer);
    return this.#metadata;
  }

  /** The visitor who is signed in by the first module that needs somebody, and stays. */
  regular(): Visitor {
    this.#regular ??= this.newVisitor();
    return this.#regular;
  }

  /** Somebody else, whose browser knows no cookie yet. */
  newVisitor(): Visitor {
    const { issuer, client, secondClient, address } = this.config;
    const relyingParties = [client, secondClient].flatMap((each) => [
      each.redirectUri,
      each.postLogoutRedirectUri,
    ]);
    const { origin } = new URL(issuer);
    const isRelyingParty = (url: URL) =>
      relyingParties.some((uri) => URL.parse(uri)?.href === `${url.origin}${url.pathname}`);
    const number = this.#visitors;
    this.#visitors += 1;
    return {
      browser: new Browser((url) => url.origin === origin && !isRelyingParty(url)),
      address: address.replaceAll('{n}', String(number)),
    };
  }
}

/** One module's try at the provider: what it may use, and what it finds. */
export class Trial {
  readonly suite: Suite;
  readonly metadata: ProviderMetadata;
  readonly failures: string[] = [];
  readonly warnings: string[] = [];

  constructor(suite: Suite, metadata: ProviderMetadata) {
    this.suite = suite;
    this.metadata = metadata;
  }

  get config(): SuiteConfig {
    return this.suite.config;
  }

  /** Records a failure unless something holds, and goes on. */
  check(holds: boolean, failure: string): boolean {
    if (!holds) this.failures.push(failure);
    return holds;
  }

  /** Records a warning unless something holds that is recommended but not required. */
  advise(holds: boolean, warning: string): boolean {
    if (!holds) this.warnings.push(warning);
    return holds;
  }

  /** Records a failure unless something holds, and ends the module: nothing can be said without it. */
  require(holds: boolean, failure: string): asserts holds {
    if (!holds) throw new ModuleStopped(failure);
  }

  /** Ends the module, which the plan leaves out. */
  skip(reason: string): never {
    throw new ModuleSkipped(reason);
  }

  /** Takes a visitor's browser to a URL and past the pages that it meets. */
  async journey({ browser, address }: Visitor, url: URL, form?: URLSearchParams): Promise<Journey> {
    const from = new URL(this.config.client.redirectUri);
    const landing = form === undefined ? await browser.open(url) : await browser.post(url, form, from);
    return this.suite.driver(browser, landing, address);
  }

  /** Text that nobody can guess, as RFC 6749 wants state and RFC 7636 a verifier. */
  random(bytes = 32): string {
    return randomBytes(bytes).toString('base64url');
  }
}
