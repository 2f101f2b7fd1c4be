import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RawEndpoint } from '../edge/edge.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { noteOnRequest, type RequestNote } from '../logs/request-note.ts';
import { readForm } from '../oidc/form-body.ts';
import type { Exchange, InteractionStep, Interactions, LoadedInteraction } from '../oidc/interactions.ts';
import { otpLimits } from '../otp/otp-limits.ts';
import type { Settings } from '../settings.ts';
import { writePage } from './answer-page.ts';
import { cookieLine, readCookie } from './cookies.ts';
import type { ErrorPages } from './error-pages.ts';
import { type FlowState, type FlowStates, flowSeconds, isTokenOf, type Said } from './flow-state.ts';
import { isOwnForm } from './own-form.ts';
import type { Page, Surface } from './page.ts';
import { noticePage } from './pages/notice-page.ts';
import { surfaceOf } from './surface.ts';
import type { Reply, Step, Visit } from './visit.ts';

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  interactions: Interactions;
  states: FlowStates;
  steps: Readonly<Record<InteractionStep, Step>>;
  errorPages: ErrorPages;
  /** Whether no mail is sent: the pages say where they are. */
  hasDevMailbox: boolean;
}

/** Where the pages are, below the issuer. */
export const loginPath = '/login';

const daySeconds = 86_400;

type BrowserExchange = Exchange & { readonly info: EdgeInfo };

/** A visit, and what of it only the answer needs. */
interface Arrived {
  readonly visit: Visit;
  readonly cookies: Cookies;
}

/**
 * The pages of the hosted login, `/{issuer_id}/login/{uid}`: one URL for each question that the runtime asks the user.
 * What is under way stands in a cookie of that URL, never in the URL itself.
 */
export class LoginEndpoint implements RawEndpoint {
  readonly isRaw = true;
  readonly #deps: Dependencies;
  readonly #origin: string;
  readonly #isSecure: boolean;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    const { origin, protocol } = new URL(deps.settings.publicUrl);
    this.#origin = origin;
    this.#isSecure = protocol === 'https:';
  }

  async handleRaw(request: IncomingMessage, response: ServerResponse, info: EdgeInfo): Promise<void> {
    const exchange = { request, response, info };
    const { issuerId, rest } = splitIssuerPath(request.url ?? '');
    const uid = rest.slice(loginPath.length + 1);
    try {
      const loaded = await this.#deps.interactions.load(exchange, issuerId ?? '', uid);
      noteOnRequest(info, { clientId: loaded.client.id });
      const surface = this.#surfaceFor(exchange, loaded);
      if (request.method === 'POST') await this.#take(exchange, loaded, surface);
      else await this.#show(exchange, loaded, surface);
    } catch (error) {
      if (response.headersSent) throw error;
      await this.#deps.errorPages.answer(exchange, issuerId ?? '', error);
    }
  }

  async #show(exchange: BrowserExchange, loaded: LoadedInteraction, surface: Surface): Promise<void> {
    if (loaded.onward !== null) {
      redirect(exchange, loaded.onward);
      return;
    }
    const arrived = this.#arrive(exchange, loaded, surface);
    const reply = await this.#stepOf(loaded).show(arrived.visit);
    const { said } = arrived.visit.state;
    if (said !== null && 'page' in reply && reply.page.status >= 400)
      noteOnRequest(exchange.info, refusalIn(said));
    await this.#answer(arrived, exchange, reply);
  }

  /**
   * Another site may send our form from the user's browser: to sign it in as somebody else, or to allow a client what the
   * user would not. Such a form has neither the token nor the right origin.
   */
  async #take(exchange: BrowserExchange, loaded: LoadedInteraction, surface: Surface): Promise<void> {
    if (!isOwnForm(exchange.request, this.#origin)) {
      this.#notice(exchange, surface, 'foreign', loaded);
      return;
    }
    const fields = await readForm(exchange.request);
    const cookies = this.#cookiesOf(loaded);
    const state = this.#stateIn(exchange, cookies);
    if (state === null || !isTokenOf(state, fields.get('token'))) {
      this.#notice(exchange, surface, 'outOfDate', loaded);
      return;
    }
    if (loaded.onward !== null) {
      redirect(exchange, loaded.onward);
      return;
    }
    const visit = this.#visitOf(exchange, loaded, surface, cookies, state);
    const reply = await this.#stepOf(loaded).take(visit, fields.get('action') ?? '', fields);
    const said = 'state' in reply ? reply.state.said : null;
    if (said !== null && said.what !== 'resent') noteOnRequest(exchange.info, refusalIn(said));
    await this.#answer({ visit, cookies }, exchange, reply);
  }

  #arrive(exchange: BrowserExchange, loaded: LoadedInteraction, surface: Surface): Arrived {
    const cookies = this.#cookiesOf(loaded);
    const state = this.#stateIn(exchange, cookies) ?? this.#deps.states.begin();
    return { cookies, visit: this.#visitOf(exchange, loaded, surface, cookies, state) };
  }

  #visitOf(
    exchange: BrowserExchange,
    loaded: LoadedInteraction,
    surface: Surface,
    cookies: Cookies,
    state: FlowState,
  ): Visit {
    const { url = '' } = exchange.request;
    const queryAt = url.indexOf('?');
    return {
      exchange,
      loaded,
      surface,
      state,
      form: { path: cookies.flow.path, token: state.token, client: loaded.client.name },
      query: new URLSearchParams(queryAt === -1 ? '' : url.slice(queryAt + 1)),
      deviceToken: readCookie(exchange.request, cookies.device.name),
    };
  }

  #stateIn({ request }: BrowserExchange, { flow, place }: Cookies): FlowState | null {
    return this.#deps.states.open(place, readCookie(request, flow.name));
  }

  async #answer({ visit, cookies }: Arrived, exchange: BrowserExchange, reply: Reply): Promise<void> {
    const { flow, device, place } = cookies;
    const attributes = { path: flow.path, isSecure: this.#isSecure };
    if ('onward' in reply) {
      const lines = [cookieLine(flow.name, '', { ...attributes, maxAgeSeconds: 0 })];
      if (reply.deviceToken !== undefined) {
        const maxAgeSeconds = otpLimits.deviceDays * daySeconds;
        lines.push(
          cookieLine(device.name, reply.deviceToken, { ...attributes, path: device.path, maxAgeSeconds }),
        );
      }
      exchange.response.appendHeader('Set-Cookie', lines);
      redirect(exchange, reply.onward);
      return;
    }
    const sealed = this.#deps.states.seal(place, reply.state);
    const line = cookieLine(flow.name, sealed, { ...attributes, maxAgeSeconds: flowSeconds });
    exchange.response.appendHeader('Set-Cookie', line);
    if ('page' in reply) this.#write(exchange, visit.surface, reply.page);
    else redirect(exchange, `${visit.loaded.runtime.url}${loginPath}/${visit.loaded.uid}`);
  }

  #notice(
    exchange: BrowserExchange,
    surface: Surface,
    name: 'foreign' | 'outOfDate',
    loaded: LoadedInteraction,
  ): void {
    noteOnRequest(exchange.info, { code: 'invalid_request', reason: refusedForms[name] });
    const onward = this.#cookiesOf(loaded).flow.path;
    const page = noticePage(surface, name, { status: 403, requestId: exchange.info.id, onward });
    // Of a body that has not been read nobody can tell where the next request begins.
    if (!exchange.request.complete) exchange.response.setHeader('Connection', 'close');
    this.#write(exchange, surface, page);
  }

  #write(exchange: BrowserExchange, surface: Surface, page: Page): void {
    writePage(exchange.response, surface, page, exchange.info);
  }

  #stepOf({ step }: LoadedInteraction): Step {
    return this.#deps.steps[step];
  }

  #surfaceFor({ request }: BrowserExchange, { issuer, runtime, uiLocales }: LoadedInteraction): Surface {
    const { name, login, url } = runtime;
    const surface = surfaceOf(
      { name, login, url, environment: issuer.environment },
      { uiLocales, acceptLanguage: request.headers['accept-language'] },
    );
    return { ...surface, mailboxPath: this.#deps.hasDevMailbox ? '/dev/mailbox' : null };
  }

  #cookiesOf({ issuer, runtime, uid }: LoadedInteraction): Cookies {
    const prefix = this.#isSecure ? '__Secure-' : '';
    const { pathname } = new URL(runtime.url);
    return {
      place: { issuerId: issuer.id, uid },
      flow: { name: `${prefix}gl_flow_${issuer.id}`, path: `${pathname}${loginPath}/${uid}` },
      device: { name: `${prefix}gl_device_${issuer.id}`, path: `${pathname}${loginPath}` },
    };
  }
}

/** As `/auth/…` would call it, and which check or budget it was. */
function refusalIn({ what }: Said): RequestNote {
  if (what === 'invalid-address') return { code: 'invalid_request', reason: what };
  const isOfCode = what === 'malformed-code' || what === 'wrong-code';
  return { code: isOfCode ? 'invalid_otp' : 'rate_limited', reason: what };
}

const refusedForms = {
  foreign: 'another site has sent the form',
  outOfDate: 'the form has no token of this sign-in',
} as const;

/** The cookies of one interaction. Issuers on one host have others, by name and by path. */
interface Cookies {
  readonly place: { readonly issuerId: string; readonly uid: string };
  readonly flow: { readonly name: string; readonly path: string };
  readonly device: { readonly name: string; readonly path: string };
}

function redirect({ response, info }: BrowserExchange, location: string): void {
  response.setHeader('X-Request-Id', info.id);
  response.setHeader('Location', location);
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Referrer-Policy', 'same-origin');
  response.setHeader('Content-Length', 0);
  response.statusCode = 303;
  response.end();
}
