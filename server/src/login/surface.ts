import type { Environment } from '../key-profiles/key-profile.ts';
import type { LoginSettings } from '../login-settings/login-settings.ts';
import { oneLine } from '../mail/mail.ts';
import { languageOf } from './language.ts';
import type { Surface } from './page.ts';
import { textsOf } from './texts-of.ts';

/** What pages show of an issuer. */
export interface ShownIssuer {
  readonly name: string;
  readonly login: LoginSettings;
  readonly environment: Environment;
  /** Its `iss`. */
  readonly url: string;
}

/** What a browser, or the client that has sent it, says of languages. */
export interface Wishes {
  readonly uiLocales: string | null;
  readonly acceptLanguage: string | undefined;
}

const maxBrand = 100;

/** How the pages of an issuer look to a browser. */
export function surfaceOf({ name, login, environment, url }: ShownIssuer, wishes: Wishes): Surface {
  const { brand_name: brand, language: fallback } = login.mail;
  const language = languageOf({ ...wishes, fallback });
  return {
    language,
    texts: textsOf(language),
    brand: oneLine(brand ?? name, maxBrand),
    isSandbox: environment === 'sandbox',
    issuerPath: new URL(url).pathname,
    mailboxPath: null,
  };
}

/** Where nobody knows the issuer. */
export function plainSurface(url: string, wishes: Wishes): Surface {
  const language = languageOf({ ...wishes, fallback: 'en' });
  const issuerPath = new URL(url).pathname;
  return {
    language,
    texts: textsOf(language),
    brand: null,
    isSandbox: false,
    issuerPath,
    mailboxPath: null,
  };
}
