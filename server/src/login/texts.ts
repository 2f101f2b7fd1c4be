import type { Html } from '../mail/html.ts';

/** What a scope of a standard allows, in the user's words. */
type ScopeTexts = Readonly<Record<'openid' | 'profile' | 'email' | 'phone' | 'offline_access', string>>;

/** A page that says one thing. */
export interface Notice {
  readonly title: string;
  readonly text: string;
  /** For whom that does not help. */
  readonly otherwise?: string;
}

/** Every text of the pages, in one language. */
export interface Texts {
  readonly error: string;
  readonly sandbox: string;
  readonly sandboxHint: string;
  readonly requestId: string;
  readonly continue: string;
  readonly search: string;
  readonly address: {
    readonly title: string;
    readonly lead: (client: string) => string;
    readonly label: string;
    readonly hint: string;
    readonly invalid: string;
    readonly tooMany: (wait: string) => string;
    /** One is enough for this: it was asked for elsewhere. */
    readonly tooSoon: (wait: string) => string;
    readonly haveCode: string;
  };
  readonly code: {
    readonly title: string;
    readonly sent: string;
    readonly sentAfter: string;
    readonly label: string;
    readonly submit: string;
    readonly malformed: string;
    readonly wrong: (attemptsLeft: number) => string;
    /** Of an address: a new code does not help. */
    readonly tooMany: (wait: string) => string;
    /** A new code does help. */
    readonly spent: string;
    readonly spentTitle: string;
    readonly as: string;
    readonly noneYet: string;
    /** In its place where no mail leaves the machine; followed by where they are. */
    readonly inDevelopment: string;
    readonly resend: string;
    /** `{seconds}` is filled in by the script that counts down. */
    readonly resendIn: string;
    readonly resendTooSoon: (wait: string) => string;
    readonly lastWorks: string;
    readonly resent: string;
    readonly change: string;
  };
  readonly organization: {
    readonly title: string;
    readonly lead: (client: string) => string;
    /** Where there is one left, and it was to be chosen among more before. */
    readonly left: (client: string) => string;
    readonly all: string;
    readonly search: string;
    readonly more: string;
    readonly first: string;
    readonly showAll: string;
    readonly none: (query: string) => string;
  };
  readonly consent: {
    readonly title: (client: string) => string;
    readonly as: string;
    readonly lead: string;
    readonly scopes: ScopeTexts;
    /** Names of claims and scopes are set apart: they are nobody's words. */
    readonly claims: (names: Html) => Html;
    readonly api: (scope: Html) => Html;
    /** Of an API that is not the issuer's own. */
    readonly apiAt: (scope: Html, resource: string) => Html;
    /** Where it asks for no permission there. */
    readonly resource: (resource: string) => string;
    /** What the client gets in the user's organizations: all that the user may, only their names, or some scopes. */
    readonly organizations: {
      readonly all: string;
      readonly none: string;
      readonly only: (scopes: Html) => Html;
    };
    /** The same of the one that the tokens are for. */
    readonly organization: {
      readonly all: (name: string) => string;
      readonly none: (name: string) => string;
      readonly only: (name: string, scopes: Html) => Html;
    };
    readonly registered: (client: string, brand: string) => string;
    readonly destination: (host: string) => string;
    readonly device: string;
    readonly allow: string;
    readonly deny: string;
    readonly otherAccount: string;
  };
  readonly logout: {
    readonly title: string;
    readonly lead: (brand: string) => string;
    readonly confirm: string;
    readonly stay: string;
    readonly stayed: Notice;
    readonly done: Notice;
    readonly goOn: (host: string) => string;
  };
  readonly device: {
    readonly title: string;
    readonly lead: string;
    /** Where a link has brought the code. */
    readonly compare: string;
    readonly label: string;
    readonly unknown: string;
    readonly failed: Notice;
    readonly refused: Notice;
    readonly again: string;
    readonly confirmTitle: string;
    readonly confirm: (client: string) => string;
    readonly warning: string;
    readonly yes: string;
    readonly no: string;
    readonly done: Notice;
  };
  readonly notices: {
    readonly over: Notice;
    readonly suspended: Notice;
    readonly unknownIssuer: Notice;
    readonly outOfDate: Notice;
    readonly foreign: Notice;
    readonly malformed: Notice;
    readonly unavailable: Notice;
    readonly failed: Notice;
    readonly badRequest: Notice;
  };
  /** Before what the client has sent, by the name of the parameter. */
  readonly received: {
    readonly redirect_uri: string;
    readonly client_id: string;
    readonly post_logout_redirect_uri: string;
  };
  readonly again: string;
  readonly wait: (seconds: number) => string;
}
