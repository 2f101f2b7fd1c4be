import type { Authenticator } from '../authentication/authenticator.ts';
import type { EdgeAnswer } from '../edge/answer.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { readBodyOfCaller } from './caller-body.ts';
import type { KeyRecord } from './records.ts';
import type { Decided, LookedUp, Verification, Verifier } from './verifier.ts';
import { assertMayVerify, environmentOfCaller } from './verify-caller.ts';
import { parseVerifyBatch, type VerifyRequest } from './verify-request.ts';

/** Look-ups of one batch that wait for Postgres at a time: fewer than there are connections, so that others get theirs. */
const lookupsAtOnce = 4;

interface Dependencies {
  authenticator: Authenticator;
  verifier: Verifier;
}

/**
 * `POST /v1/keys/verify-batch`: the answers of `POST /v1/keys/verify`, in the order of the requests, in which they are
 * also charged. All or nothing: a body that is wrong anywhere decides nothing, and so does one request that can't be
 * decided just now.
 */
export class VerifyBatchEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { record: presented } = await this.#deps.authenticator.authenticate(request, headers);
    headers.push(...environmentOfCaller(presented));
    assertMayVerify(presented);
    const { body, caller } = await readBodyOfCaller(this.#deps.authenticator, request, presented);
    assertMayVerify(caller);
    const asked = parseVerifyBatch(body);
    const lookedUp = await this.#warmUp(caller, asked);
    const decided = await this.#decideAll(caller, asked, info.id, lookedUp);
    const verifications = await this.#finishAll(decided);
    // Counted once all are decided: of a batch that is refused nobody has learned a thing.
    verifications.forEach((verification, index) => {
      this.#deps.verifier.count(asked[index] as VerifyRequest, verification);
    });
    headers.push('X-Request-Id', info.id);
    return { status: 200, body: `{"data":[${verifications.map(({ body }) => body).join(',')}]}` };
  }

  /**
   * Look-ups, several at a time. What comes after finds its keys in memory and does not wait: a decision that did, for the
   * look-ups of those behind it, could be told after its key has been revoked.
   */
  async #warmUp(caller: KeyRecord, asked: readonly VerifyRequest[]): Promise<readonly LookedUp[]> {
    const lookedUp: LookedUp[] = [];
    const entries = asked.entries();
    let hasFailed = false;
    // Every worker takes the next entry that none has taken; once one has failed the rest is of no use to anybody.
    const work = async () => {
      for (const [index, entry] of entries) {
        if (hasFailed) return;
        lookedUp[index] = await this.#deps.verifier.warmUp(caller, entry);
      }
    };
    const orFail = () =>
      work().catch((error: unknown) => {
        hasFailed = true;
        throw error;
      });
    await Promise.all(Array.from({ length: lookupsAtOnce }, orFail));
    return lookedUp;
  }

  /** One after the other, since they may share limits. */
  async #decideAll(
    caller: KeyRecord,
    asked: readonly VerifyRequest[],
    requestId: string,
    lookedUp: readonly LookedUp[],
  ): Promise<Decided[]> {
    const decided: Decided[] = [];
    try {
      for (const [index, entry] of asked.entries()) {
        const deciding = this.#deps.verifier.decide(caller, entry, requestId, lookedUp[index]);
        decided.push(deciding instanceof Promise ? await deciding : deciding);
      }
      return decided;
    } catch (error) {
      for (const made of decided) this.#deps.verifier.withdraw(made, error);
      throw withIndex(error, decided.length);
    }
  }

  /**
   * All of them are written at the same time, and so all or none come to be on disk but where it fails between two
   * writes: what is on record then counts, and a batch that is sent again with its request_ids finds it.
   */
  async #finishAll(decided: readonly Decided[]): Promise<Verification[]> {
    const finished = await Promise.allSettled(decided.map((made) => this.#deps.verifier.finish(made)));
    return finished.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
  }
}

/** Where in the batch a field is wrong. */
function withIndex(error: unknown, index: number): unknown {
  if (!(error instanceof AppError) || error.errors === undefined) return error;
  const errors = error.errors.map((field) => ({ ...field, path: `requests[${index}].${field.path}` }));
  return new AppError(error.code, { detail: `${errors[0]?.path}: ${errors[0]?.message}`, errors });
}
