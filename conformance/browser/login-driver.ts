import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Landing, Page } from './browser.ts';
import { asksForCredentials, isAddressField, isCodeField } from './html-forms.ts';

/** Gives the code that was sent to an address just now, and each code once. */
export type CodeSource = (address: string) => Promise<string>;

/** Where a browser came to in the end, and what it was shown on the way. */
export interface Journey {
  readonly landing: Landing;
  readonly pages: readonly Page[];
}

/** Gets a browser from wherever it landed past the provider's pages. */
export type LoginDriver = (browser: Browser, landing: Landing, address: string) => Promise<Journey>;

const maxPages = 12;
const longestWaitSeconds = 120;

/**
 * Says yes to everything: sends the first form of each page by its first button, an address typed into the field of
 * type `email` and a code into the one that is filled by `autocomplete="one-time-code"`, until it arrives at the relying
 * party or at a page without a form. A page that says `Retry-After` (there was a code a moment ago) is waited for.
 */
export function formDriver(codeFor: CodeSource): LoginDriver {
  return async (browser, first, address) => {
    const pages: Page[] = [];
    let landing = first;
    while (landing.kind === 'page') {
      const { page } = landing;
      pages.push(page);
      const form = page.forms[0];
      if (form === undefined || pages.length > maxPages || isError(page)) break;
      const typed: { address?: string; code?: string } = {};
      if (form.fields.some(isAddressField)) typed.address = address;
      if (form.fields.some(isCodeField)) typed.code = await codeFor(address);
      landing = await browser.submit(page, form, typed);
      const waitSeconds = landing.kind === 'page' ? secondsToWait(landing.page) : 0;
      if (waitSeconds > 0) {
        await sleep(waitSeconds * 1_000);
        landing = await browser.submit(page, form, typed);
      }
    }
    return { landing, pages };
  };
}

/** Whether somebody was asked who they are. */
export function askedToSignIn(pages: readonly Page[]): boolean {
  return pages.some(({ forms }) => forms.some(asksForCredentials));
}

/** A refusal ends the way, whatever form stands beside it (search, language). A wrong code may be tried again. */
function isError({ answer }: Page): boolean {
  return answer.status >= 400;
}

function secondsToWait({ answer }: Page): number {
  const seconds = Number(answer.field('retry-after'));
  return answer.status === 429 && seconds > 0 && seconds <= longestWaitSeconds ? seconds : 0;
}
