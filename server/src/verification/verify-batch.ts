import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../authentication/authenticator.ts';
import { writeAnswer } from '../edge/answer.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { readBodyOfCaller } from './caller-body.ts';
import type { KeyRecord } from './records.ts';
import { assertMayVerify, environmentOfCaller, type Verification, type Verifier } from './verifier.ts';
import { parseVerifyBatch, type VerifyRequest } from './verify-request.ts';

/** Look-ups of one batch that wait for Postgres at a time: fewer than there are connections, so that others get theirs. */
const lookupsAtOnce = 4;

interface Dependencies {
  authenticator: Authenticator;
  verifier: Verifier;
}

/**
 * `POST /v1/keys/verify-batch`: the answers of `POST /v1/keys/verify`, in the order of the requests. All or nothing: a
 * body that is wrong anywhere decides nothing, and so does one request that can't be decided just now.
 */
export class VerifyBatchEndpoint {
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
    const { record: presented } = await this.#deps.authenticator.authenticate(request, headers);
    headers.push(...environmentOfCaller(presented));
    assertMayVerify(presented);
    const { body, caller } = await readBodyOfCaller(this.#deps.authenticator, request, presented);
    assertMayVerify(caller);
    const asked = parseVerifyBatch(body);
    const verifications = await this.#verifyAll(caller, asked, info.id);
    // Counted once all are decided: of a batch that is refused nobody has learned a thing.
    verifications.forEach((verification, index) => {
      this.#deps.verifier.count(asked[index] as VerifyRequest, verification);
    });
    headers.push('X-Request-Id', info.id);
    writeAnswer(response, 200, headers, `{"data":[${verifications.map(({ body }) => body).join(',')}]}`);
  }

  async #verifyAll(
    caller: KeyRecord,
    asked: readonly VerifyRequest[],
    requestId: string,
  ): Promise<Verification[]> {
    const verifications: Verification[] = [];
    const entries = asked.entries();
    let hasFailed = false;
    // Every worker takes the next entry that none has taken; once one has failed the rest is of no use to anybody.
    const work = async () => {
      for (const [index, entry] of entries) {
        if (hasFailed) return;
        verifications[index] = await this.#deps.verifier.verify(caller, entry, requestId);
      }
    };
    const orFail = () =>
      work().catch((error: unknown) => {
        hasFailed = true;
        throw error;
      });
    await Promise.all(Array.from({ length: lookupsAtOnce }, orFail));
    return verifications;
  }
}
