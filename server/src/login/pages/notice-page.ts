import { type Html, html } from '../../mail/html.ts';
import { none, type Page, type Surface } from '../page.ts';
import type { Notice, Texts } from '../texts.ts';

export type NoticeName = keyof Texts['notices'];

/** What came of the client and is not what it has to be. */
export interface Received {
  readonly name: keyof Texts['received'];
  readonly value: string;
}

/** Why it does not go on, and what can be done. */
export function noticePage(
  { texts }: Surface,
  name: NoticeName,
  how: {
    status: number;
    requestId: string;
    /** What the client's developer has to know. */
    detail?: string;
    received?: Received;
    /** Where it goes on, by a link. */
    onward?: string;
    headers?: Readonly<Record<string, string>>;
  },
): Page {
  const notice: Notice = texts.notices[name];
  const { status, requestId, detail, received, onward, headers } = how;
  return {
    status,
    hasError: true,
    title: notice.title,
    ...(headers !== undefined && { headers }),
    body: html`
<p class="lead">${notice.text}</p>
${notice.otherwise === undefined ? none : html`<p class="quiet">${notice.otherwise}</p>`}
${detail === undefined ? none : html`<p><code>${received === undefined ? detail : codeOf(detail)}</code></p>`}
${received === undefined ? none : html`<p>${texts.received[received.name]} <code>${visibly(received.value)}</code></p>`}
${onward === undefined ? none : html`<p><a class="button" href="${onward}">${texts.again}</a></p>`}
${requestLine(texts, requestId)}`,
  };
}

/** Where the page says itself what is wrong, the description behind the code would say it again. */
function codeOf(detail: string): string {
  return detail.split(': ', 1)[0]!;
}

const maxReceived = 160;

/**
 * A text of a stranger's as a line that looks like nothing else: what could not be seen, or not be told apart, is escaped, and so are spaces:
 * the page is the issuer's, and sentences on it are taken for its own.
 */
function visibly(text: string): string {
  const plain = text.toWellFormed().replaceAll(/[^\x21-\x7e]/gu, encodeURIComponent);
  return plain.length > maxReceived ? `${plain.slice(0, maxReceived)}…` : plain;
}

/** By what whoever runs it finds the request. */
export function requestLine(texts: Texts, requestId: string): Html {
  return html`<p class="request">${texts.requestId}: <code>${requestId}</code></p>`;
}
