import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from './harness/chromium.ts';
import { type GalleryPage, LoginGallery } from './harness/login-gallery.ts';
import { freePort } from './harness/process.ts';
import { isSoak } from './harness/scale.ts';
import { startTestServer, TestClock } from './harness/server.ts';

const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** Where pictures of all pages go, for whoever changes them to look at. */
const picturesDirectory = process.env.GATELODGE_LOGIN_PICTURES;

const clock = new TestClock(new Date().toISOString());
const port = await freePort();
const url = `http://localhost:${port}`;
const server = await startTestServer({
  clock,
  env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: url },
});
const gallery = await LoginGallery.open(server, clock);
const pages: Record<'en' | 'de', readonly GalleryPage[]> = {
  en: await gallery.pages('en'),
  de: await gallery.pages('de'),
};
const all = Object.entries(pages).flatMap(([language, shown]) =>
  shown.map(({ name, page }) => ({ language, name, page })),
);
let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await server.close();
});

describe('every page, errors too', () => {
  // Framed (clickjacking), sniffed, cached for the next user of the machine, given a script or a style by somebody else.
  test('has the headers that keep others out of it', () => {
    for (const { name, page } of all) {
      const { headers } = page;
      const policy = headers.get('Content-Security-Policy') ?? '';
      expect([name, policy.replace(/form-action [^;]*/, 'form-action …')]).toEqual([
        name,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action …; frame-ancestors 'none'; base-uri 'none'",
      ]);
      expect([name, policy]).toEqual([name, expect.stringMatching(/form-action 'self'(?: https:)?;/)]);
      expect([name, headers.get('X-Content-Type-Options')]).toEqual([name, 'nosniff']);
      expect([name, headers.get('X-Frame-Options')]).toEqual([name, 'DENY']);
      expect([name, headers.get('Referrer-Policy')]).toEqual([name, 'same-origin']);
      expect([name, headers.get('Cache-Control')]).toEqual([name, 'no-store']);
      expect([name, headers.get('Content-Type')]).toEqual([name, 'text/html; charset=utf-8']);
      expect([name, headers.get('X-Request-Id')]).toEqual([name, expect.stringMatching(/./)]);
    }
  });

  // A name, a hint or a code that somebody has made to be markup.
  test('holds no markup but ours, and nothing of another origin', () => {
    for (const { name, page } of all) {
      expect([name, page.html]).not.toEqual([
        name,
        expect.stringMatching(/<script>|<style|<b>| style=| on\w+=/),
      ]);
      const loaded = [...page.html.matchAll(/(?:src|href|action)="([^"]*)"/g)].map(
        ([, target = '']) => target,
      );
      const foreign = loaded.filter(
        (target) => !target.startsWith('#') && target !== 'data:,' && new URL(target, url).origin !== url,
      );
      expect([name, foreign]).toEqual([name, []]);
    }
  });

  test('speaks the language of the browser, and its title says the state', () => {
    for (const { language, name, page } of all) {
      expect([name, page.html.includes(`<html lang="${language}">`)]).toEqual([name, true]);
      const isError = page.status >= 400 || name === 'device-unknown';
      expect([name, /^(?:Error|Fehler): /.test(page.title)]).toEqual([name, isError]);
    }
    expect(new Set(pages.en.map(({ page }) => page.title)).size).toBeGreaterThan(15);
  });

  test('begins with the form of its main action, whose first button affirms', () => {
    const posted = all.filter(({ page }) => page.forms.length > 0);
    for (const { name, page } of posted) {
      expect([name, page.forms[0]!.method]).toEqual([name, 'POST']);
      expect([name, page.forms[0]!.buttons.length > 0]).toEqual([name, true]);
      expect([name, /<select|type="(?:checkbox|radio)"/.test(page.html)]).toEqual([name, false]);
    }
    expect(posted.length).toBeGreaterThan(all.length / 2);
  });
});

/** Shows a page that has been fetched before; what it loads comes from the server. */
async function open(tab: Page, { page }: Pick<GalleryPage, 'page'>): Promise<void> {
  const place = `${url}/shown`;
  await tab.unroute(place);
  await tab.route(place, (route) =>
    route.fulfill({ status: 200, headers: Object.fromEntries(page.headers), body: page.html }),
  );
  await tab.goto(place, { waitUntil: 'load' });
}

interface Measured {
  overflow: number;
  /** What is too small to be hit. */
  small: string[];
  hasStyle: boolean;
}

/** Text, since it runs in the page. */
const measure = `({
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  small: [...document.querySelectorAll('button, input:not([type=hidden]), a.link, a.button')]
    .filter((element) => element.getBoundingClientRect().height < 44)
    .map((element) => element.outerHTML),
  hasStyle: getComputedStyle(document.querySelector('main')).maxWidth !== 'none',
})`;

describe('in a browser', () => {
  test.for(['light', 'dark'] as const)('no page has a WCAG A or AA violation, %s', async (colorScheme) => {
    const context = await browser.newContext({ colorScheme, bypassCSP: true });
    const tab = await context.newPage();
    // In CI each language in one of them.
    const those = all.filter(({ language }) => isSoak || (language === 'en') === (colorScheme === 'light'));
    for (const shown of those) {
      await open(tab, shown);
      await tab.addScriptTag({ path: axePath });
      const violations = await tab.evaluate(async () => {
        const { axe } = globalThis as unknown as {
          axe: { run(options: object): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
        };
        const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
        const found = await axe.run({ runOnly: { type: 'tag', values: tags } });
        return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
      });
      expect([shown.language, shown.name, violations]).toEqual([shown.language, shown.name, []]);
    }
    await context.close();
  });

  test('nothing breaks the policy, and 320 pixels are enough', async () => {
    const context = await browser.newContext({ viewport: { width: 320, height: 640 } });
    const tab = await context.newPage();
    const complaints: string[] = [];
    tab.on('console', (message) => void complaints.push(message.text()));
    tab.on('pageerror', (error) => void complaints.push(error.message));
    for (const shown of all) {
      await open(tab, shown);
      const { overflow, small, hasStyle } = await tab.evaluate<Measured>(measure);
      expect([shown.name, overflow, small, hasStyle]).toEqual([shown.name, 0, [], true]);
    }
    expect(complaints).toEqual([]);
    await context.close();
  });

  // Not a test of anything: it draws, when somebody asks for it.
  if (picturesDirectory !== undefined)
    test('pictures', { timeout: 600_000 }, async () => {
      for (const colorScheme of ['light', 'dark'] as const) {
        for (const width of [390, 1440]) {
          const directory = join(picturesDirectory, `${colorScheme}-${width}`);
          await mkdir(directory, { recursive: true });
          const context = await browser.newContext({ colorScheme, viewport: { width, height: 844 } });
          const tab = await context.newPage();
          for (const shown of all) {
            await open(tab, shown);
            const path = join(directory, `${shown.language}-${shown.name}.png`);
            await tab.screenshot({ path, fullPage: true });
          }
          await context.close();
        }
      }
    });
});
