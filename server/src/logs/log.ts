import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import type { Settings } from '../settings.ts';
import { describeError, finishLine, pickMembers } from './log-members.ts';

/** The server's log. Members first, the sentence second: `log.info({ key_id }, 'key revoked')`. */
export type Log = Logger;

/**
 * Makes a log of one JSON line an event.
 *
 * Two walls keep secrets out: a line has only members that `log-members.ts` names, and what looks like a secret is
 * taken out of every finished line. The sentence should be a constant all the same.
 *
 * @param destination stdout when left out, written at once, so that the last line before a crash is there.
 */
export function createLog(level: Settings['logLevel'], destination?: DestinationStream): Log {
  const options: LoggerOptions = {
    level,
    base: null,
    messageKey: 'message',
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }), log: pickMembers },
    serializers: { err: (error: unknown) => describeError(error) },
    hooks: { streamWrite: finishLine },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** What a log tells of a request. */
export interface LoggedRequest {
  method: string;
  /** The pattern, such as `/v1/issuers/:issuer_id`; undefined where no route matched. Never the URL. */
  routePattern: string | undefined;
  status: number;
  durationMs: number;
  requestId: string;
  accountId?: string | undefined;
  keyId?: string | undefined;
  issuerId?: string | undefined;
  clientId?: string | undefined;
  /** What it was refused with, and why. */
  code?: string | undefined;
  reason?: string | undefined;
  droppedScopes?: string | undefined;
}

/** The members of a request's log line. Nothing of its URL, headers or body is among them. */
export function serializeRequest(request: LoggedRequest): Record<string, unknown> {
  return {
    method: request.method,
    // A pattern has no query; should a URL be passed after all, at least its query is not logged.
    route: request.routePattern?.split('?', 1)[0] ?? 'unknown',
    status: request.status,
    duration_ms: Math.round(request.durationMs * 1000) / 1000,
    request_id: request.requestId,
    account_id: request.accountId,
    key_id: request.keyId,
    issuer_id: request.issuerId,
    client_id: request.clientId,
    code: request.code,
    reason: request.reason,
    dropped_scopes: request.droppedScopes,
  };
}
