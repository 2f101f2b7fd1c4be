import { CookieJar } from './cookie-jar.ts';
import {
  type FormField,
  firstSubmitButton,
  formsOf,
  type HtmlForm,
  isAddressField,
  isCodeField,
  submissionOf,
} from './html-forms.ts';
import { type HttpAnswer, type HttpRequest, hasMediaType, send } from './http.ts';

/** A page that the provider shows. */
export interface Page {
  readonly answer: HttpAnswer;
  readonly forms: readonly HtmlForm[];
}

/** Where following redirects ends: at a URL of the relying party, which is not asked for, or at a page. */
export type Landing = Arrival | { readonly kind: 'page'; readonly page: Page };

/** What the relying party would be sent. */
export interface Arrival {
  readonly kind: 'arrival';
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  /** The query, or the body of a form that was posted. */
  readonly parameters: URLSearchParams;
  /** What stands behind the `#`, read as parameters. */
  readonly fragment: URLSearchParams;
}

const maxRedirects = 20;

/**
 * A browser without scripts: cookies, redirects and forms. It stops before it would leave the provider, so that no
 * relying party needs to run.
 */
export class Browser {
  readonly #cookies = new CookieJar();
  readonly #isProvider: (url: URL) => boolean;
  #current: URL | undefined;

  /** @param isProvider whether a URL is the provider's; every other one is where the browser arrives */
  constructor(isProvider: (url: URL) => boolean) {
    this.#isProvider = isProvider;
  }

  /** Goes to a URL as a link or an address that was typed does. */
  open(url: URL): Promise<Landing> {
    this.#current = undefined;
    return this.#follow({ url });
  }

  /** Goes to a URL as a form on a page of the relying party does. */
  post(url: URL, form: URLSearchParams, from: URL): Promise<Landing> {
    this.#current = from;
    return this.#follow({ url, method: 'POST', form });
  }

  /** Sends a form of a page by its first button, the address and the code typed into their fields. */
  submit(page: Page, form: HtmlForm, typed: { address?: string; code?: string } = {}): Promise<Landing> {
    const button = firstSubmitButton(form);
    const target = new URL(button?.action ?? form.action, page.answer.url);
    const filled = (field: FormField) => {
      if (isAddressField(field)) return typed.address;
      return isCodeField(field) ? typed.code : undefined;
    };
    const submission = submissionOf(form, button, filled);
    if (form.method === 'POST') return this.#follow({ url: target, method: 'POST', form: submission });
    target.search = submission.toString();
    return this.#follow({ url: target });
  }

  async #follow(first: HttpRequest): Promise<Landing> {
    let request = first;
    for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
      if (!this.#isProvider(request.url)) return arrivalOf(request);
      const answer = await send({ ...request, headers: this.#headersOf(request) });
      this.#cookies.keep(answer);
      const location = answer.field('location');
      if (answer.status < 300 || answer.status > 399 || location === '') {
        this.#current = answer.url;
        const forms = hasMediaType(answer, 'text/html') ? formsOf(answer.body) : [];
        return { kind: 'page', page: { answer, forms } };
      }
      const url = new URL(location, answer.url);
      request = answer.status === 307 || answer.status === 308 ? { ...request, url } : { url };
    }
    throw new Error(
      `more than ${maxRedirects} redirects, the last to ${request.url.origin}${request.url.pathname}`,
    );
  }

  #headersOf({ url, method }: HttpRequest): Record<string, string> {
    const cookie = this.#cookies.headerFor(url);
    const isSameOrigin = this.#current?.origin === url.origin;
    return {
      accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
      'accept-language': 'en',
      'sec-fetch-dest': 'document',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-site':
        this.#current === undefined ? 'cross-site' : isSameOrigin ? 'same-origin' : 'cross-site',
      'user-agent': 'Mozilla/5.0 (conformance)',
      ...(method === 'POST' ? { origin: this.#current?.origin ?? 'null' } : {}),
      ...(cookie === '' ? {} : { cookie }),
    };
  }
}

function arrivalOf({ url, method = 'GET', form }: HttpRequest): Arrival {
  return {
    kind: 'arrival',
    url,
    method,
    parameters: method === 'POST' ? (form ?? new URLSearchParams()) : url.searchParams,
    fragment: new URLSearchParams(url.hash.slice(1)),
  };
}
