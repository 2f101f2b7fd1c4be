import type { Client, Context } from 'oidc-provider';
import { requestInfoOf } from '../edge/request-info.ts';
import { detailOf } from '../login/error-pages.ts';
import { showInLibrary } from '../login/library-pages.ts';
import {
  confirmDevicePage,
  deviceDonePage,
  deviceEndedPage,
  userCodePage,
} from '../login/pages/device-pages.ts';
import { type NoticeName, noticePage } from '../login/pages/notice-page.ts';
import type { ShownIssuer } from '../login/surface.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import { linkedCode } from './linked-code.ts';
import type { IssuerRuntime } from './runtime.ts';

/**
 * What every answer of the library has, before a page of ours says more. No script runs but the one of the library's that
 * submits a response (`response_mode=form_post`), which it names by its digest.
 */
const headersOfAnswers = {
  'Content-Security-Policy': "default-src 'none'; script-src 'none'; frame-ancestors 'none'; base-uri 'none'",
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'same-origin',
} as const;

/** @param url of the issuer: where it is HTTPS, browsers are told to stay with that (RFC 6797) */
export function pageHeaders(url: string): Record<string, string> {
  return {
    ...headersOfAnswers,
    ...(url.startsWith('https:') && { 'Strict-Transport-Security': 'max-age=31536000' }),
  };
}

/** An issuer as its pages show it. */
export function shownIssuer({ name, login, url, issuer }: IssuerRuntime): ShownIssuer {
  return { name, login, url, environment: issuer.environment };
}

interface DeviceError {
  userCode?: string;
  name?: string;
  message?: string;
}

/** The pages that the library asks for, in the look of the hosted login. */
export function pagesOf(runtime: IssuerRuntime) {
  const issuer = shownIssuer(runtime);
  return {
    /** Why a request can't go on that can't be sent back to where it came from. */
    renderError: (
      context: Context,
      out: { error: string; error_description?: string },
      error: unknown,
    ): void => {
      const { status } = context;
      const name = noticeFor(status, error);
      const detail = name === 'badRequest' ? detailOf(out.error, out.error_description) : undefined;
      const received = receivedBy(context, out.error);
      showInLibrary(issuer, context, (surface, requestId) =>
        noticePage(surface, name, {
          status,
          requestId,
          ...(detail !== undefined && { detail }),
          ...(received !== undefined && { received }),
        }),
      );
    },

    userCodeInputSource: (context: Context, form: string, _out: unknown, error?: DeviceError): void => {
      const { status } = context;
      const isUnknown = error?.userCode !== undefined || error?.name === 'NoCodeError';
      if (status < 500 && error?.message !== undefined)
        noteOnRequest(requestInfoOf(context.req), { reason: error.message });
      showInLibrary(issuer, context, (surface, requestId) =>
        // The form of a page that is too old, or of another: what it would be answered by is not kept.
        error !== undefined && !isUnknown
          ? deviceEndedPage(surface, {
              status,
              requestId,
              isRefused: error.name === 'AbortedError',
              onward: actionOf(form),
            })
          : userCodePage(surface, {
              action: actionOf(form),
              xsrf: hiddenOf(form, 'xsrf'),
              userCode: error?.userCode ?? linkedCode(context),
              isUnknown,
            }),
      );
    },

    userCodeConfirmSource: (
      context: Context,
      form: string,
      client: Client,
      _deviceInfo: unknown,
      shownCode: string,
    ): void => {
      showInLibrary(issuer, context, (surface) =>
        confirmDevicePage(surface, {
          action: actionOf(form),
          xsrf: hiddenOf(form, 'xsrf'),
          userCode: hiddenOf(form, 'user_code'),
          shownCode,
          client: client.clientName ?? client.clientId,
        }),
      );
    },

    successSource: (context: Context): void => showInLibrary(issuer, context, deviceDonePage),
  };
}

/** By which error a parameter is refused for what stands in it. */
const parameterOf: ReadonlyMap<string, 'redirect_uri' | 'client_id'> = new Map([
  ['invalid_redirect_uri', 'redirect_uri'],
  ['invalid_client', 'client_id'],
]);

/** What is wrong about an authorization request, as it came. Elsewhere an invalid client may have a wrong secret instead. */
function receivedBy({ oidc }: Context, error: string) {
  const name = oidc.route === 'authorization' ? parameterOf.get(error) : undefined;
  if (name === undefined) return undefined;
  const value = oidc.params[name];
  return typeof value === 'string' ? { name, value } : undefined;
}

/** Of the library's errors people meet these by no fault of the client. */
function noticeFor(status: number, error: unknown): NoticeName {
  if (status === 429 || status === 503) return 'unavailable';
  if (status >= 500) return 'failed';
  return error instanceof Error && error.name === 'SessionNotFound' ? 'over' : 'badRequest';
}

/** The library makes forms whole; ours is another one that asks for the same. What it has escaped is read back. */
function actionOf(form: string): string {
  return unescaped(/ action="([^"]*)"/.exec(form)?.[1] ?? '');
}

function hiddenOf(form: string, name: string): string {
  return unescaped(new RegExp(`name="${name}" value="([^"]*)"`).exec(form)?.[1] ?? '');
}

function unescaped(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');
}
