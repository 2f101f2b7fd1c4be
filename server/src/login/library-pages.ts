import type { Context } from 'oidc-provider';
import { requestInfoOf } from '../edge/request-info.ts';
import { headersOf } from './answer-page.ts';
import type { Page, Surface } from './page.ts';
import { renderPage } from './page.ts';
import { type ShownIssuer, surfaceOf } from './surface.ts';

/** Answers a page in place of one of the library's own, in the look of the others. */
export function showInLibrary(
  issuer: ShownIssuer,
  context: Context,
  pageOf: (surface: Surface, requestId: string) => Page,
): void {
  const info = requestInfoOf(context.req);
  const { ui_locales: asked } = context.oidc.params ?? {};
  const surface = surfaceOf(issuer, {
    uiLocales: typeof asked === 'string' ? asked : null,
    acceptLanguage: context.req.headers['accept-language'],
  });
  const page = pageOf(surface, info.id);
  context.status = page.status;
  for (const [name, value] of headersOf(surface, page, info)) context.set(name, value);
  context.body = renderPage(surface, page);
}
