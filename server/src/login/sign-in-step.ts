import { actorOfSystem } from '../events/actor.ts';
import { mailedCodeAcr } from '../oidc/acr.ts';
import { asksForHinted, otherAccount } from '../oidc/interaction-policy.ts';
import type { Interactions } from '../oidc/interactions.ts';
import type { CodeSignIn } from '../otp/code-sign-in.ts';
import { otpLimits } from '../otp/otp-limits.ts';
import type { OtpOrder } from '../otp/otp-order.ts';
import { OtpRefusal } from '../otp/otp-refusal.ts';
import { codeAsTyped, type OtpAsked, type VerifyAsked } from '../otp/otp-schema.ts';
import type { RequestOtp } from '../otp/request-otp.ts';
import { maxUsernameLength, normalizeAddress } from '../users/username.ts';
import type { FlowState, Said } from './flow-state.ts';
import { addressPage } from './pages/address-page.ts';
import { codePage, spentCodePage } from './pages/code-page.ts';
import type { Fault } from './pages/fault.ts';
import type { Texts } from './texts.ts';
import type { Reply, Step, Visit } from './visit.ts';

interface Dependencies {
  interactions: Interactions;
  requestOtp: RequestOtp;
  codes: CodeSignIn;
  nowMs: () => number;
}

/** Who it is: an address, and the code that was mailed to it. Its answers are the same for addresses that nobody has. */
export class SignInStep implements Step {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async show(visit: Visit): Promise<Reply> {
    const { state, loaded, surface, form } = visit;
    const { said } = state;
    const nowMs = this.#deps.nowMs();
    const fault = said === null ? null : faultIn(state, said, surface.texts, nowMs);
    const shown: FlowState = { ...state, said: null };
    if (asksForCode(state)) {
      const of = {
        address: state.address,
        fault,
        isResent: said?.what === 'resent',
        resendInSeconds: secondsUntil(state.resendAtMs, nowMs),
        targets: loaded.client,
      };
      const page = state.isCodeSpent ? spentCodePage(surface, form, of) : codePage(surface, form, of);
      return { page, state: shown };
    }
    const typed = said?.what === 'invalid-address' ? said.typed : state.address;
    const address = typed ?? (await this.#knownAddress(visit));
    const canHaveCode = said?.what === 'too-many-codes' || said?.what === 'too-soon';
    return { page: addressPage(surface, form, { address, fault, canHaveCode }), state: shown };
  }

  async take(visit: Visit, action: string, fields: URLSearchParams): Promise<Reply> {
    const { state } = visit;
    const field = (name: string) => (fields.get(name) ?? '').slice(0, maxUsernameLength).toWellFormed();
    if (action === 'address') return this.#takeAddress(visit, field('email'));
    if (action === 'have-code') return { state: { ...state, asks: 'code', isCodeSpent: false } };
    if (action === 'change') return { state: { ...state, asks: 'address' } };
    if (!asksForCode(state)) return { state };
    if (action === 'resend') return this.#resend(visit, state);
    return action === 'code' ? this.#takeCode(visit, state, field('code')) : { state };
  }

  /** The one that the client knows, or of whoever is signed in already and has to sign in again; not as somebody else. */
  async #knownAddress({ loaded }: Visit): Promise<string> {
    if (loaded.reasons.includes(otherAccount)) return '';
    const hint = hintOf(loaded.loginHint);
    if (hint !== null) return hint;
    if (loaded.reasons.some((reason) => asksForHinted.has(reason))) return '';
    const username = await this.#deps.interactions.usernameOf(loaded);
    return username !== null && normalizeAddress(username).ok ? username : '';
  }

  async #takeAddress(visit: Visit, typed: string): Promise<Reply> {
    const { state } = visit;
    const parsed = normalizeAddress(typed);
    if (!parsed.ok) return { state: { ...state, asks: 'address', said: { what: 'invalid-address', typed } } };
    const before = state.address === null ? null : normalizeAddress(state.address);
    const isSame = before?.ok === true && before.key === parsed.key;
    // Sent back and forth between the two pages, it needs no other code.
    const isMailed = isSame && state.isMailed && state.resendAtMs > this.#deps.nowMs();
    if (isMailed) return { state: { ...state, asks: 'code' } };
    const address = typed.trim();
    const sent = await this.#mail(visit, parsed);
    const shown = { ...state, address, isMailed: !('untilMs' in sent) };
    return 'untilMs' in sent
      ? { state: { ...shown, resendAtMs: 0, ...this.#refusedCode(sent.untilMs), asks: 'address' } }
      : { state: { ...shown, asks: 'code', isCodeSpent: false, ...sent } };
  }

  async #resend(visit: Visit, state: CodeState): Promise<Reply> {
    const parsed = normalizeAddress(state.address);
    if (!parsed.ok) return { state: { ...state, asks: 'address' } };
    const nowMs = this.#deps.nowMs();
    if (state.resendAtMs > nowMs)
      return { state: { ...state, said: { what: 'too-soon', untilMs: state.resendAtMs } } };
    const sent = await this.#mail(visit, parsed);
    if (!('untilMs' in sent))
      return { state: { ...state, isMailed: true, isCodeSpent: false, said: { what: 'resent' }, ...sent } };
    return { state: { ...state, ...this.#refusedCode(sent.untilMs) } };
  }

  /** What becomes of a sign-in whose code was not sent. */
  #refusedCode(untilMs: number): Pick<FlowState, 'said'> & Partial<FlowState> {
    if (secondsUntil(untilMs, this.#deps.nowMs()) > otpLimits.resendSeconds)
      return { said: { what: 'too-many-codes', untilMs } };
    // One has been asked for elsewhere a moment ago, and is to be typed then.
    return { isCodeSpent: false, resendAtMs: untilMs, said: { what: 'too-soon', untilMs } };
  }

  async #takeCode(visit: Visit, state: CodeState, typed: string): Promise<Reply> {
    const code = codeAsTyped(typed);
    const parsed = normalizeAddress(state.address);
    if (code === null || !parsed.ok) return { state: { ...state, said: { what: 'malformed-code' } } };
    const { exchange, loaded, deviceToken } = visit;
    const order = orderOf(visit, { email: parsed, deviceToken, code });
    try {
      const signedIn = await this.#deps.codes.signIn(order, loaded.issuer, async (_tx, { user }) => ({
        result: user.id,
        // The library begins one for each client that the user goes on to.
        sessionId: null,
      }));
      const onward = await this.#deps.interactions.finishLogin(exchange, loaded, {
        userId: signedIn.result,
        amr: ['otp'],
        acr: mailedCodeAcr,
      });
      return { onward, deviceToken: signedIn.deviceToken };
    } catch (error) {
      if (!(error instanceof OtpRefusal)) throw error;
      return this.#refused(visit, state, order, error);
    }
  }

  async #refused(
    visit: Visit,
    state: CodeState,
    order: OtpOrder<VerifyAsked>,
    refusal: OtpRefusal,
  ): Promise<Reply> {
    const { exchange, loaded } = visit;
    const { attemptsLeft = 0, retryAfterSeconds } = refusal.details;
    const isCounted = refusal.code !== 'rate_limited';
    if (isCounted) {
      // The form was sent twice, and the other one has used the code up.
      const { onward } = await this.#deps.interactions.load(exchange, loaded.issuer.id, loaded.uid);
      if (onward !== null) return { onward };
      if (attemptsLeft > 0) return { state: { ...state, said: { what: 'wrong-code', attemptsLeft } } };
    }
    const waitSeconds = await this.#deps.codes.secondsToNewCode(order, loaded.issuer);
    if (waitSeconds > 0)
      return {
        state: { ...state, said: { what: 'too-many-guesses', untilMs: this.#momentIn(waitSeconds) } },
      };
    const said: Said = isCounted
      ? { what: 'wrong-code', attemptsLeft }
      : { what: 'code-spent', untilMs: this.#momentIn(retryAfterSeconds) };
    return { state: { ...state, isCodeSpent: true, said } };
  }

  /** Answers from when on the next one may be asked for; or, where there can be none now, until when. */
  async #mail(visit: Visit, email: OtpAsked['email']): Promise<{ resendAtMs: number } | { untilMs: number }> {
    const order = orderOf(visit, { email, deviceToken: visit.deviceToken });
    try {
      const { resend_in: resendIn } = await this.#deps.requestOtp.carryOut(order);
      return { resendAtMs: this.#momentIn(resendIn) };
    } catch (error) {
      if (!(error instanceof OtpRefusal) || error.code !== 'rate_limited') throw error;
      return { untilMs: this.#momentIn(error.details.retryAfterSeconds) };
    }
  }

  #momentIn(seconds = 1): number {
    return this.#deps.nowMs() + seconds * 1000;
  }
}

function secondsUntil(moment: number, nowMs: number): number {
  return Math.max(0, Math.ceil((moment - nowMs) / 1000));
}

/** What the page says went wrong, in the words of its language; null where nothing has. */
function faultIn(state: FlowState, said: Said, texts: Texts, nowMs: number): Fault | null {
  switch (said.what) {
    case 'resent':
      return null;
    case 'invalid-address':
      return { status: 422, message: texts.address.invalid };
    case 'malformed-code':
      return { status: 422, message: texts.code.malformed };
    case 'wrong-code':
      return { status: 422, message: texts.code.wrong(said.attemptsLeft) };
    default: {
      const retryAfterSeconds = secondsUntil(said.untilMs, nowMs);
      // Loaded again later, there is nothing to wait for any more.
      if (retryAfterSeconds === 0) return null;
      const message = messageOf(said.what, texts, texts.wait(retryAfterSeconds), state);
      return { status: 429, message, retryAfterSeconds };
    }
  }
}

function messageOf(
  what: 'too-many-codes' | 'too-many-guesses' | 'code-spent' | 'too-soon',
  { address, code }: Texts,
  wait: string,
  { asks, isCodeSpent }: FlowState,
): string {
  switch (what) {
    case 'too-many-codes':
      return address.tooMany(wait);
    case 'too-many-guesses':
      return code.tooMany(wait);
    case 'code-spent':
      return code.spent;
    case 'too-soon':
      if (asks === 'address') return address.tooSoon(wait);
      return [code.resendTooSoon(wait), ...(isCodeSpent ? [] : [code.lastWorks])].join(' ');
  }
}

type CodeState = FlowState & { readonly address: string };

function asksForCode(state: FlowState): state is CodeState {
  return state.asks === 'code' && state.address !== null;
}

/** `login_hint` is whatever the client has written: longer than any address, it is none. */
function hintOf(loginHint: string | null): string | null {
  return loginHint === null || loginHint.length > maxUsernameLength ? null : loginHint.toWellFormed();
}

function orderOf<Asked>({ exchange, loaded, surface }: Visit, asked: Asked): OtpOrder<Asked> {
  const { issuer } = loaded;
  const { info } = exchange;
  const author = { actor: actorOfSystem('login-pages', info), requestId: info.id };
  return { asked, sender: 'login-pages', home: issuer, issuer, info, author, language: surface.language };
}
