import type { EdgeAnswer } from '../edge/answer.ts';
import { corsHeaders } from '../edge/cors.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { readJsonBody } from '../edge/read-body.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { inertText } from '../events/inert-text.ts';
import { defineContract } from '../http/route.ts';
import { ConcurrencyLimit } from '../limits/concurrency-limit.ts';
import { NetworkCap } from '../limits/network-cap.ts';
import type { Database } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { leakReportAnswer, leakReportBody, maxUrl, parseLeakReport } from './leak-report.ts';
import { insertLeakReport } from './leak-report-store.ts';
import { digestOfReported } from './reported-digest.ts';

export const leakReportContract = defineContract({
  method: 'POST',
  path: '/v1/keys/report-leak',
  operationId: 'keys.reportLeak',
  summary: 'Report a key that has leaked',
  description:
    'For anybody, without a credential. The answer is the same whether there is such a key or not. A secret key is revoked, at once or after a delay that its account has chosen, and its owner is told with `url`; of a publishable key the owner is only told. At most 100 reports a minute from an address are looked at.',
  security: 'none',
  body: leakReportBody,
  responses: { 202: { description: 'It will be looked at.', schema: leakReportAnswer } },
  errors: ['invalid_request'],
});

const acceptedBody = '{"data":{"status":"accepted"}}';

/** How many reports an address may have looked at. */
const reportsAMinute = 100;

/** For each report an address may have looked at, this many requests of it are read; most of them are wrong then. */
const requestsPerReport = 10;

/** Twice what the longest secret and URL take, each character written as an escape. */
const maxBody = 32 * 1024;

/** What strangers may ask of Postgres here. Each report is one short statement. */
const limits = { concurrent: 2, waiting: 200, waitMs: 1_000 };

interface Dependencies {
  database: Database;
  secrets: InstallationSecrets;
  nowMs: () => number;
  /** A report has come in. */
  onReport: () => void;
}

/**
 * `POST /v1/keys/report-leak`. What is reported is not looked up here but queued, under a digest that says nothing of
 * texts that are no keys of ours: the same is done and answered for each of them.
 */
export class ReportLeakEndpoint {
  readonly #deps: Dependencies;
  readonly #cap: NetworkCap;
  readonly #requestCap: NetworkCap;
  readonly #limit = new ConcurrencyLimit(limits);
  #queued = 0;
  #capped = 0;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#cap = new NetworkCap(deps.nowMs, reportsAMinute);
    this.#requestCap = new NetworkCap(deps.nowMs, reportsAMinute * requestsPerReport);
  }

  /** Reports since the start: taken, and dropped because their address sent too many. */
  get counts(): { queued: number; capped: number } {
    return { queued: this.#queued, capped: this.#capped };
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    headers.push(...corsHeaders(request.headers.origin, true));
    // Before the body is read: of an address that sends far too much nothing is, whatever it sends.
    if (this.#requestCap.isOver(info.ip)) {
      this.#capped++;
      if (request.wholeBody === undefined) request.resume();
    } else {
      const { secret, url } = parseLeakReport(await readJsonBody(request, maxBody));
      if (this.#cap.isOver(info.ip)) this.#capped++;
      else await this.#queue(secret, url);
    }
    headers.push('X-Request-Id', info.id);
    return { status: 202, body: acceptedBody };
  }

  /** @throws unavailable (503) where the report could not be kept, or too many wait for that */
  async #queue(secret: string, url: string | null): Promise<void> {
    const { database, secrets, nowMs, onReport } = this.#deps;
    // A scanner may have taken the end of the line with it.
    const key = secret.trim();
    const digest = digestOfReported(key, secrets);
    const reportedUrl = inertText(url ?? '', maxUrl, key);
    const receivedAt = new Date(nowMs());
    await this.#limit.run(() => insertLeakReport(database.lookups, { digest, reportedUrl, receivedAt }));
    this.#queued++;
    onReport();
  }
}
