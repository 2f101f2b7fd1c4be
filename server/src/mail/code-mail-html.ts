import type { CodeMailLanguage } from './code-mail-texts.ts';
import { type Html, html } from './html.ts';

interface CodeMailHtml {
  language: CodeMailLanguage;
  subject: string;
  brand: string;
  code: string;
  paragraphs: readonly string[];
}

/*
 * Inline styles, since many mail programs read no others, and one style sheet for what can't be inline. Colours hold of
 * their own in both schemes. None of them is six digits: a program that looks for the code in the HTML finds the code.
 */
const page = 'margin:0;padding:0;background:#fff;color:#1f232b;';
const column =
  'max-width:32rem;margin:0 auto;padding:2rem 1.5rem;font:400 16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;overflow-wrap:break-word;';
const heading = 'margin:0 0 1.5rem;font-size:1rem;font-weight:600;';
const codeBox =
  'margin:0 0 1.5rem;padding:1rem;border:1px solid #c9ced6;border-radius:8px;background:#f4f5f7;font:600 2rem/1.2 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;letter-spacing:0.15em;text-align:center;';
const paragraph = 'margin:0 0 1rem;';

const darkStyles = html`
      :root { color-scheme: light dark; supported-color-schemes: light dark; }
      @media (prefers-color-scheme: dark) {
        .page { background: #15181e !important; color: #e6e9ee !important; }
        .code { background: #20252d !important; border-color: #454c58 !important; color: #fff !important; }
      }`;

/** The HTML of a mail that brings a code: the code by itself and large, then the same paragraphs as in the text. */
export function codeMailHtml({ language, subject, brand, code, paragraphs }: CodeMailHtml): Html {
  return html`<!doctype html>
<html lang="${language}" dir="ltr">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="supported-color-schemes" content="light dark">
    <title>${subject}</title>
    <style>${darkStyles}
    </style>
  </head>
  <body class="page" style="${page}">
    <div class="page" style="${page}">
      <div role="article" lang="${language}" dir="ltr" style="${column}">
        <h1 style="${heading}">${brand}</h1>
        <p class="code" style="${codeBox}">${code}</p>
${paragraphs.filter((text) => text !== code).map((text) => html`        <p style="${paragraph}">${lines(text)}</p>\n`)}      </div>
    </div>
  </body>
</html>
`;
}

function lines(text: string): Html[] {
  return text.split('\n').map((line, at) => (at === 0 ? html`${line}` : html`<br>${line}`));
}
