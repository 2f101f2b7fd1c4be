import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../authentication/authenticator.ts';
import { writeAnswer } from '../edge/answer.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { presets } from '../key-profiles/presets.ts';
import { readBodyOfCaller } from './caller-body.ts';
import { environmentHeader, environmentOfUnknownKey } from './environment-header.ts';
import type { KeyRecord } from './records.ts';
import { assertMayVerify, environmentOfCaller, type Verifier } from './verifier.ts';
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

  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    info: EdgeInfo,
    headers: string[],
  ): Promise<void> {
    const authenticated = this.#deps.authenticator.authenticate(request, headers);
    let { record: caller } = authenticated instanceof Promise ? await authenticated : authenticated;
    try {
      assertMayVerify(caller);
      const read = await readBodyOfCaller(this.#deps.authenticator, request, caller);
      if (read.caller !== caller) assertMayVerify(read.caller);
      caller = read.caller;
      const asked = parseVerifyRequest(read.body);
      const verified = this.#deps.verifier.verify(caller, asked, info.id);
      const verification = verified instanceof Promise ? await verified : verified;
      this.#deps.verifier.count(asked, verification);
      headers.push('X-Request-Id', info.id, ...decidedEnvironment(caller, verification.subject, asked.key));
      writeAnswer(response, 200, headers, verification.body);
    } catch (error) {
      // Nothing has been decided about the key that was asked about, so the caller's own tells the environment.
      headers.push(...environmentOfCaller(caller));
      throw error;
    }
  }
}

function decidedEnvironment(caller: KeyRecord, subject: KeyRecord | null, secret: string): [string, string] {
  const profile = subject?.issuer?.profile ?? caller.issuer?.profile ?? presets.standard;
  const environment =
    subject?.environment ??
    environmentOfUnknownKey(secret, caller.issuer?.profile ?? null) ??
    caller.environment;
  return environmentHeader(profile, environment);
}
