import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../authentication/authenticator.ts';
import { writeAnswer } from '../edge/answer.ts';
import { readJsonBody } from '../edge/read-body.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { presets } from '../key-profiles/presets.ts';
import { type Decision, decide, refusalBeforeTenant } from './decide.ts';
import type { DecisionCounters } from './decision-counters.ts';
import { environmentHeader, environmentOfUnknownKey } from './environment-header.ts';
import type { Freshness } from './freshness.ts';
import type { KeyDirectory } from './key-directory.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';
import { refusals } from './refusals.ts';
import { parseVerifyRequest, type VerifyRequest } from './verify-request.ts';

interface Dependencies {
  authenticator: Authenticator;
  keys: KeyDirectory;
  freshness: Freshness;
  counters: DecisionCounters;
  nowMs: () => number;
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
    const { record: caller } = authenticated instanceof Promise ? await authenticated : authenticated;
    try {
      if (caller.scopes !== null && !caller.scopes.includes('keys:verify')) {
        throw new AppError('permission_denied', { detail: 'The API key lacks the permission keys:verify.' });
      }
      const asked = parseVerifyRequest(await readJsonBody(request));
      const found = this.#deps.keys.find(asked.key);
      const key = found instanceof Promise ? await found : found;
      const subject = key !== null && isVisibleTo(caller, key) ? key : null;
      const decided = subject === null ? null : this.#decide(subject, asked);
      const decision = decided instanceof Promise ? await decided : decided;
      headers.push('X-Request-Id', info.id, ...decidedEnvironment(caller, subject, asked.key));
      const body = this.#render(subject, decision, asked.request_id ?? info.id);
      writeAnswer(response, 200, headers, body);
    } catch (error) {
      // Nothing has been decided about the key that was asked about, so the caller's own tells the environment.
      headers.push(...environmentHeader(caller.issuer?.profile ?? presets.standard, caller.environment));
      throw error;
    }
  }

  #render(subject: KeyRecord | null, decision: Decision | null, requestId: string): string {
    if (subject === null || decision === null) {
      this.#deps.counters.count('verify', 'NOT_FOUND');
      return notFoundBody(requestId);
    }
    const code = decision.valid ? 'VALID' : refusals[decision.refusal].verifyCode;
    this.#deps.counters.count('verify', code);
    return renderBody(subject, decision, code, requestId, this.#warnings(decision));
  }

  #decide(subject: KeyRecord, asked: VerifyRequest): Decision | Promise<Decision> {
    if (asked.tenant === undefined || subject.issuer === null) return this.#decideFor(subject, asked, null);
    // What is refused without the tenant is refused without a look-up of it, and so also while Postgres is away.
    if (refusalBeforeTenant(subject, asked.environment, this.#deps.nowMs()) !== null) {
      return this.#decideFor(subject, asked, null);
    }
    const found = this.#deps.keys.findTenant(subject.issuer.id, asked.tenant);
    if (found instanceof Promise) return found.then((tenant) => this.#decideFor(subject, asked, tenant));
    return this.#decideFor(subject, asked, found);
  }

  #decideFor(subject: KeyRecord, asked: VerifyRequest, tenant: OrganizationRecord | null): Decision {
    return decide(
      subject,
      {
        origin: asked.origin,
        hasBrowserHeaders: asked.origin !== undefined,
        ip: asked.ip,
        tenant,
        tenantGiven: asked.tenant !== undefined,
        tenantRequired: subject.issuer?.profile.tenant_header?.required === true,
        environment: asked.environment,
        scopes: asked.scopes,
      },
      this.#deps.nowMs(),
    );
  }

  #warnings(decision: Decision): readonly string[] {
    const warnings = decision.valid ? decision.warnings : [];
    return this.#deps.freshness.isFresh() || this.#deps.freshness.mode !== 'stale'
      ? warnings
      : [...warnings, 'stale'];
  }
}

/**
 * A caller sees the keys at or below its own level, and nothing of another account. A sandbox caller sees sandbox
 * keys only: what it may learn of a live key is nothing.
 */
function isVisibleTo(caller: KeyRecord, key: KeyRecord): boolean {
  if (key.account.id !== caller.account.id) return false;
  if (caller.issuer !== null && key.issuer?.id !== caller.issuer.id) return false;
  if (caller.organization !== null && key.organization?.id !== caller.organization.id) return false;
  return caller.environment === 'live' || key.environment === 'sandbox';
}

function decidedEnvironment(caller: KeyRecord, subject: KeyRecord | null, secret: string): [string, string] {
  const profile = subject?.issuer?.profile ?? caller.issuer?.profile ?? presets.standard;
  const environment =
    subject?.environment ??
    environmentOfUnknownKey(secret, caller.issuer?.profile ?? null) ??
    caller.environment;
  return environmentHeader(profile, environment);
}

function notFoundBody(requestId: string): string {
  return `{"valid":false,"code":"NOT_FOUND","request_id":${JSON.stringify(requestId)},"key":null,"account_id":null,"issuer_id":null,"organization":null,"environment":null,"scopes":[],"limits":[],"warnings":[]}`;
}

function renderBody(
  key: KeyRecord,
  decision: Decision,
  code: string,
  requestId: string,
  warnings: readonly string[],
): string {
  const { organization } = decision;
  return JSON.stringify({
    valid: decision.valid,
    code,
    request_id: requestId,
    key: {
      id: key.id,
      name: key.name,
      kind: key.kind,
      metadata: key.metadata,
      expires_at: key.expiresAtMs === null ? null : new Date(key.expiresAtMs).toISOString(),
    },
    account_id: key.account.id,
    issuer_id: key.issuer?.id ?? null,
    organization: organization && {
      id: organization.id,
      external_id: organization.externalId,
      name: organization.name,
    },
    environment: key.environment,
    scopes: decision.valid ? decision.scopes : [],
    limits: [],
    warnings,
  });
}
