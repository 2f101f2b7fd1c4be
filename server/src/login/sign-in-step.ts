import { actorOfSystem } from '../events/actor.ts';
import type { Interactions } from '../oidc/interactions.ts';
import type { CodeSignIn } from '../otp/code-sign-in.ts';
import type { OtpOrder } from '../otp/otp-order.ts';
import { OtpRefusal } from '../otp/otp-refusal.ts';
import { codeAsTyped, type OtpAsked } from '../otp/otp-schema.ts';
import type { RequestOtp } from '../otp/request-otp.ts';
import { maxUsernameLength, normalizeAddress } from '../users/username.ts';
import type { FlowState } from './flow-state.ts';
import { addressPage } from './pages/address-page.ts';
import { codePage } from './pages/code-page.ts';
import type { Fault } from './pages/fault.ts';
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
    const { state, loaded } = visit;
    if (asksForCode(state)) return this.#codeReply(visit, state);
    return addressReply(visit, state.address ?? hintOf(loaded.loginHint), null);
  }

  async take(visit: Visit, action: string, fields: URLSearchParams): Promise<Reply> {
    const { state } = visit;
    const field = (name: string) => (fields.get(name) ?? '').slice(0, maxUsernameLength).toWellFormed();
    if (action === 'address') return this.#takeAddress(visit, field('email'));
    if (action === 'have-code' && state.address !== null) return { state: { ...state, asks: 'code' } };
    if (action === 'change') return { state: { ...state, asks: 'address' } };
    if (!asksForCode(state)) return this.show(visit);
    if (action === 'resend') return this.#resend(visit, state);
    return action === 'code' ? this.#takeCode(visit, state, field('code')) : this.show(visit);
  }

  async #takeAddress(visit: Visit, typed: string): Promise<Reply> {
    const { state, surface } = visit;
    const { texts } = surface;
    const parsed = normalizeAddress(typed);
    if (!parsed.ok) return addressReply(visit, typed, { status: 422, message: texts.address.invalid });
    const before = state.address === null ? null : normalizeAddress(state.address);
    const isSame = before?.ok === true && before.key === parsed.key;
    // Sent back and forth between the two pages, it needs no other code.
    if (isSame && state.resendAtMs > this.#deps.nowMs()) return { state: { ...state, asks: 'code' } };
    const address = typed.trim();
    const waitSeconds = await this.#mail(visit, parsed);
    if (typeof waitSeconds === 'number') {
      const message = texts.address.tooMany(texts.wait(waitSeconds));
      const kept: FlowState = { ...state, asks: 'address', address, resendAtMs: 0 };
      return addressReply(visit, address, { status: 429, message, retryAfterSeconds: waitSeconds }, kept);
    }
    return { state: { ...state, asks: 'code', address, note: null, ...waitSeconds } };
  }

  async #resend(visit: Visit, state: CodeState): Promise<Reply> {
    const { texts } = visit.surface;
    const parsed = normalizeAddress(state.address);
    if (!parsed.ok) return { state: { ...state, asks: 'address' } };
    const leftSeconds = Math.ceil((state.resendAtMs - this.#deps.nowMs()) / 1000);
    const sent = leftSeconds > 0 ? leftSeconds : await this.#mail(visit, parsed);
    if (typeof sent !== 'number') return { state: { ...state, note: 'resent', ...sent } };
    const message = texts.code.resendTooSoon(texts.wait(sent));
    return this.#codeReply(visit, state, { status: 429, message, retryAfterSeconds: sent });
  }

  async #takeCode(visit: Visit, state: CodeState, typed: string): Promise<Reply> {
    const { texts } = visit.surface;
    const code = codeAsTyped(typed);
    const parsed = normalizeAddress(state.address);
    if (code === null || !parsed.ok)
      return this.#codeReply(visit, state, { status: 422, message: texts.code.malformed });
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
      });
      return { onward, deviceToken: signedIn.deviceToken };
    } catch (error) {
      if (!(error instanceof OtpRefusal)) throw error;
      return this.#refused(visit, state, error);
    }
  }

  async #refused(visit: Visit, state: CodeState, { code, details }: OtpRefusal): Promise<Reply> {
    const { exchange, loaded, surface } = visit;
    const { texts } = surface;
    if (code === 'rate_limited') {
      const { retryAfterSeconds = 1 } = details;
      const message = texts.code.tooMany(texts.wait(retryAfterSeconds));
      return this.#codeReply(visit, state, { status: 429, message, retryAfterSeconds });
    }
    // The form was sent twice, and the other one has used the code up.
    const { onward } = await this.#deps.interactions.load(exchange, loaded.issuer.id, loaded.uid);
    if (onward !== null) return { onward };
    return this.#codeReply(visit, state, {
      status: 422,
      message: texts.code.wrong(details.attemptsLeft ?? 0),
    });
  }

  /** Answers when the next one may be asked for; or, where there can be none now, how many seconds to wait. */
  async #mail(visit: Visit, email: OtpAsked['email']): Promise<Pick<FlowState, 'resendAtMs'> | number> {
    const order = orderOf(visit, { email, deviceToken: visit.deviceToken });
    try {
      const { resend_in: resendIn } = await this.#deps.requestOtp.carryOut(order);
      return { resendAtMs: this.#deps.nowMs() + resendIn * 1000 };
    } catch (error) {
      if (error instanceof OtpRefusal && error.code === 'rate_limited')
        return error.details.retryAfterSeconds ?? 1;
      throw error;
    }
  }

  #codeReply({ surface, form, loaded }: Visit, state: CodeState, fault: Fault | null = null): Reply {
    const leftMs = state.resendAtMs - this.#deps.nowMs();
    const page = codePage(surface, form, {
      address: state.address,
      fault,
      isResent: fault === null && state.note === 'resent',
      resendInSeconds: Math.max(0, Math.ceil(leftMs / 1000)),
      targets: loaded.client,
    });
    return { page, state: { ...state, note: null } };
  }
}

type CodeState = FlowState & { readonly address: string };

function asksForCode(state: FlowState): state is CodeState {
  return state.asks === 'code' && state.address !== null;
}

function addressReply(
  { surface, form, state }: Visit,
  address: string,
  fault: Fault | null,
  kept: FlowState = state,
): Reply {
  const canHaveCode = fault?.status === 429;
  return { page: addressPage(surface, form, { address, fault, canHaveCode }), state: kept };
}

/** `login_hint` is whatever the client has written: longer than any address, it is none. */
function hintOf(loginHint: string | null): string {
  return loginHint === null || loginHint.length > maxUsernameLength ? '' : loginHint.toWellFormed();
}

function orderOf<Asked>({ exchange, loaded }: Visit, asked: Asked): OtpOrder<Asked> {
  const { issuer } = loaded;
  const { info } = exchange;
  const author = { actor: actorOfSystem('login-pages', info), requestId: info.id };
  return { asked, sender: 'login-pages', home: issuer, issuer, info, author };
}
