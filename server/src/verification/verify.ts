import type { Authenticator } from '../authentication/authenticator.ts';
import type { EdgeAnswer } from '../edge/answer.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { presets } from '../key-profiles/presets.ts';
import { rateLimitHeaders } from '../limits/rate-limit-headers.ts';
import { readBodyOfCaller } from './caller-body.ts';
import { environmentHeader, environmentOfUnknownKey } from './environment-header.ts';
import type { KeyRecord } from './records.ts';
import type { Verifier } from './verifier.ts';
import { assertMayVerify, environmentOfCaller } from './verify-caller.ts';
import { parseVerifyRequest } from './verify-request.ts';

interface Dependencies {
  authenticator: Authenticator;
  verifier: Verifier;
}

/** `POST /v1/keys/verify`: a decided request is always 200, whatever the decision. */
export class VerifyEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { authenticator, verifier } = this.#deps;
    const authenticated = authenticator.authenticate(request, headers);
    let { record: caller } = authenticated instanceof Promise ? await authenticated : authenticated;
    try {
      assertMayVerify(caller);
      const reading = readBodyOfCaller(authenticator, request, caller);
      const read = reading instanceof Promise ? await reading : reading;
      if (read.caller !== caller) assertMayVerify(read.caller);
      caller = read.caller;
      const asked = parseVerifyRequest(read.body);
      const deciding = verifier.decide(caller, asked, info.id);
      const decided = deciding instanceof Promise ? await deciding : deciding;
      const verification = await verifier.finish(decided);
      verifier.count(asked, verification);
      const { subject, limits, body } = verification;
      headers.push('X-Request-Id', info.id, ...decidedEnvironment(caller, subject, asked.key));
      if (limits !== null)
        headers.push(...rateLimitHeaders(limits, profileOf(subject ?? caller).rate_limit_headers));
      return { status: 200, body };
    } catch (error) {
      // Nothing has been decided about the key that was asked about, so the caller's own tells the environment.
      headers.push(...environmentOfCaller(caller));
      throw error;
    }
  }
}

function decidedEnvironment(caller: KeyRecord, subject: KeyRecord | null, secret: string): [string, string] {
  const profile = subject?.issuer?.profile ?? profileOf(caller);
  const environment =
    subject?.environment ??
    environmentOfUnknownKey(secret, caller.issuer?.profile ?? null) ??
    caller.environment;
  return environmentHeader(profile, environment);
}

function profileOf({ issuer }: KeyRecord) {
  return issuer?.profile ?? presets.standard;
}
