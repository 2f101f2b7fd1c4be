import type { ServerResponse } from 'node:http';
import { type Page, renderPage, type Surface, targetsOf } from './page.ts';
import { pageHeaders } from './page-headers.ts';

/** Writes a page as the whole answer. */
export function answerPage(
  response: ServerResponse,
  surface: Surface,
  page: Page,
  { requestId, isSecure }: { requestId: string; isSecure: boolean },
): void {
  const body = renderPage(surface, page);
  const headers = { ...pageHeaders(targetsOf(page), { isSecure }), ...page.headers, 'X-Request-Id': requestId };
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('Content-Language', surface.language);
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.statusCode = page.status;
  response.end(body);
}
