import type { ServerResponse } from 'node:http';
import type { EdgeAnswer } from '../edge/answer.ts';
import { type Page, renderPage, type Surface, targetsOf } from './page.ts';
import { pageHeaders } from './page-headers.ts';

/** What an answer tells of its request. */
export interface Answered {
  readonly id: string;
  readonly isSecure: boolean;
}

/** Writes a page as the whole answer. */
export function writePage(response: ServerResponse, surface: Surface, page: Page, info: Answered): void {
  if (response.headersSent || response.destroyed) return;
  const body = renderPage(surface, page);
  response.setHeader('X-Request-Id', info.id);
  for (const [name, value] of headersOf(surface, page, info)) response.setHeader(name, value);
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.statusCode = page.status;
  response.end(body);
}

/** A page as the edge answers it; `headers` takes what it does not add itself. */
export function pageAnswer(headers: string[], surface: Surface, page: Page, info: Answered): EdgeAnswer {
  for (const [name, value] of headersOf(surface, page, info)) {
    if (!addedByEdge.has(name)) headers.push(name, value);
  }
  return { status: page.status, body: renderPage(surface, page), contentType: 'text/html; charset=utf-8' };
}

const addedByEdge: ReadonlySet<string> = new Set(['Content-Type', 'Cache-Control', 'X-Content-Type-Options']);

/** Every header of a page but its length and the id of its request. */
export function headersOf(
  surface: Surface,
  page: Page,
  info: Pick<Answered, 'isSecure'>,
): [string, string][] {
  const own = {
    ...pageHeaders(targetsOf(page), info),
    ...page.headers,
    'Content-Language': surface.language,
  };
  return Object.entries(own);
}
