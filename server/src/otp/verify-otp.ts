import type { Sessions, SignedIn } from '../sessions/sessions.ts';
import type { SigningKeys } from '../signing-keys/signing-keys.ts';
import type { CodeSignIn } from './code-sign-in.ts';
import type { OtpOperation } from './otp-endpoint.ts';
import { otpLimits } from './otp-limits.ts';
import type { OtpOrder } from './otp-order.ts';
import { OtpRefusal } from './otp-refusal.ts';
import { parseVerifyOtp, type VerifyAsked } from './otp-schema.ts';

interface Dependencies {
  codes: CodeSignIn;
  sessions: Sessions;
  signingKeys: Pick<SigningKeys, 'jwks'>;
}

/** `POST /auth/verify-otp`: a session of the built-in client for whoever shows the code. */
export class VerifyOtp implements OtpOperation<VerifyAsked> {
  readonly #deps: Dependencies;
  readonly parse = parseVerifyOtp;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async carryOut(order: OtpOrder<VerifyAsked>): Promise<object> {
    const { codes, sessions, signingKeys } = this.#deps;
    const { issuer, author } = order;
    // Nobody has ever asked for a code there, so there is nothing to be guessed, and nothing to count guesses by.
    if (issuer === null) throw new OtpRefusal('invalid_otp', { attemptsLeft: otpLimits.guessesOfCode - 1 });
    // So that nobody waits for a key with a transaction open.
    await signingKeys.jwks(issuer.id, 'row');
    const { result: signedIn, deviceToken } = await codes.signIn(order, issuer, async (tx, signingIn) => {
      const begun = await sessions.begin(tx, {
        ...signingIn,
        issuer,
        amr: ['otp'],
        ip: author.actor.ip,
        userAgent: author.actor.user_agent,
      });
      return { result: begun, sessionId: begun.session_id };
    });
    return answerOf(signedIn, deviceToken);
  }
}

function answerOf(
  { token, token_type, expires_in, refresh_token, user }: SignedIn,
  deviceToken: string,
): object {
  return {
    success: true,
    token,
    token_type,
    expires_in,
    refresh_token,
    user: { id: user.id, email: user.email },
    device_token: deviceToken,
  };
}
