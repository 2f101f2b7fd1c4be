import { type Html, html } from '../mail/html.ts';
import { assetsPath, script, styles } from './assets.ts';
import type { Language } from './language.ts';
import { type FormTargets, onlyHere } from './page-headers.ts';
import type { Texts } from './texts.ts';

/** What the pages of one issuer have in common, for one browser. */
export interface Surface {
  readonly language: Language;
  readonly texts: Texts;
  /** What the issuer calls itself; null where nobody knows which one it is. */
  readonly brand: string | null;
  readonly isSandbox: boolean;
  /** The issuer's path: from the root, without a slash at its end. */
  readonly issuerPath: string;
  /** Where the mails are that were not sent, from the root; null where they are sent. */
  readonly mailboxPath: string | null;
}

/** A page to be answered. */
export interface Page {
  readonly status: number;
  readonly title: string;
  /** Said by the title as well, which is what a screen reader begins with. */
  readonly hasError?: boolean;
  readonly body: Html;
  readonly targets?: FormTargets;
  /** Beside those that every page has. */
  readonly headers?: Readonly<Record<string, string>>;
}

export const none = html``;

/** The whole document. */
export function renderPage(surface: Surface, page: Page): string {
  const { language, texts, brand, isSandbox, issuerPath } = surface;
  const assets = `${issuerPath}${assetsPath}`;
  const title = [page.hasError === true ? `${texts.error}: ${page.title}` : page.title, brand]
    .filter((part) => part !== null)
    .join(' – ');
  return html`<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${assets}/${styles.name}">
<script type="module" src="${assets}/${script.name}"></script>
</head>
<body>
<main>
${brand === null ? none : html`<p class="brand">${monogram(brand)}<span class="brand-name">${brand}</span>${isSandbox && !saysSandbox(brand) ? html`<span class="badge">${texts.sandbox}</span>` : none}</p>`}
<h1>${page.title}</h1>
${page.body}
</main>
</body>
</html>
`.text;
}

/** Many a sandbox is named so, such as "Acme (sandbox)": the badge beside it would say it twice. */
function saysSandbox(brand: string): boolean {
  return /\bsandbox\W*$/i.test(brand);
}

/** The targets of a page's forms. */
export function targetsOf({ targets = onlyHere }: Page): FormTargets {
  return targets;
}

const segmenter = new Intl.Segmenter();

/** The first letter of a name; says nothing that the name beside it does not. */
export function monogram(name: string): Html {
  const [first] = segmenter.segment(name.trim());
  return html`<span class="monogram" aria-hidden="true">${(first?.segment ?? '·').toUpperCase()}</span>`;
}

/** The members that every form of a flow has. */
export function hiddenOf(fields: Readonly<Record<string, string>>): Html {
  return html`${Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)}`;
}
