import type { EdgeAnswer } from '../edge/answer.ts';
import type { EdgeEndpoint } from '../edge/edge.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import { readJsonBody } from '../edge/read-body.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { actorOf } from '../events/actor.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import type { OtpCaller, OtpCallers, Told } from './otp-callers.ts';
import type { OtpOrder } from './otp-order.ts';
import { answerRefusal, codeOf } from './otp-refusal.ts';

/** One of the two operations, behind what they share. */
export interface OtpOperation<Asked> {
  /** @throws invalid_request (422) */
  parse(body: unknown): Asked;
  /** What is answered with 200. @throws OtpRefusal */
  carryOut(order: OtpOrder<Asked>): Promise<object>;
}

interface Dependencies {
  callers: OtpCallers;
  docsBaseUrl: string;
}

/** A body that takes longer is on its way from somebody who waits, and the key may have been revoked meanwhile. */
const promptMs = 250;

/** Far more than the longest address and tokens take, each character written as an escape. */
const maxBodyBytes = 16 * 1024;

/**
 * `POST /auth/request-otp` and `/auth/verify-otp`, also below `/{issuer_id}`: the key first, then what it asks for, and
 * whatever goes wrong in the dialect of the key's profile.
 */
export class OtpEndpoint<Asked> implements EdgeEndpoint {
  readonly #deps: Dependencies;
  readonly #operation: OtpOperation<Asked>;

  constructor(deps: Dependencies, operation: OtpOperation<Asked>) {
    this.#deps = deps;
    this.#operation = operation;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const told: Told = { profile: null };
    try {
      const { issuerId } = splitIssuerPath(request.url ?? '');
      const admitted = await this.#deps.callers.admit(request, info, issuerId, headers, told);
      const { body, caller } = await this.#read(request, info, admitted);
      const asked = this.#operation.parse(body);
      const { key, home, issuer } = caller;
      const author = { actor: actorOf({ keyId: key.id }, info), requestId: info.id };
      const sender = {
        keyId: key.id,
        lineageId: key.lineageId,
        organizationId: key.organization?.id ?? null,
        isPublishable: key.kind === 'publishable',
      };
      const answer = await this.#operation.carryOut({ asked, sender, home, issuer, info, author });
      headers.push('X-Request-Id', info.id);
      return { status: 200, body: JSON.stringify(answer) };
    } catch (error) {
      noteOnRequest(info, { code: codeOf(error) });
      const { docsBaseUrl } = this.#deps;
      return answerRefusal(error, { profile: told.profile, requestId: info.id, docsBaseUrl, headers });
    }
  }

  /** The body, and the caller as it is once that has come. */
  async #read(
    request: EdgeRequest,
    info: EdgeInfo,
    caller: OtpCaller,
  ): Promise<{ body: unknown; caller: OtpCaller }> {
    const startedAtMs = performance.now();
    const body = await readJsonBody(request, maxBodyBytes);
    if (performance.now() - startedAtMs <= promptMs) return { body, caller };
    return { body, caller: await this.#deps.callers.confirm(request, info, caller) };
  }
}
