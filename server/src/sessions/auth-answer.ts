import type { EdgeAnswer } from '../edge/answer.ts';
import { corsHeaders } from '../edge/cors.ts';
import { toAppError } from '../edge/edge.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import { environmentHeader } from '../verification/environment-header.ts';
import type { IssuerRecord } from '../verification/records.ts';
import { type RefusalCode, refusals, renderRefusal } from '../verification/refusals.ts';

/** RFC 6750 §3. */
const challenge = 'Bearer realm="gatelodge"';

interface Work {
  /** The issuer that the path names. */
  issuerId: string | null;
  /** Tells whose the answer is, once that is known. */
  isOf: (issuer: IssuerRecord) => void;
}

/**
 * Answers a request that a user makes by a token of its own: pages of any origin may read the answer, and no cookie has a
 * part in it. There is no key whose profile would decide how errors speak, so they are `flat`.
 *
 * @param docsBaseUrl where /docs/errors lives
 * @param work what is answered with 200
 */
export async function answerUser(
  request: EdgeRequest,
  info: EdgeInfo,
  headers: string[],
  docsBaseUrl: string,
  work: (how: Work) => Promise<object>,
): Promise<EdgeAnswer> {
  const { origin } = request.headers;
  const cors: string[] = [...corsHeaders(origin, true)];
  const environment: string[] = [];
  try {
    const { issuerId } = splitIssuerPath(request.url ?? '');
    const isOf = ({ profile, environment: name }: IssuerRecord) => {
      cors.splice(0, cors.length, ...corsHeaders(origin, true, profile.environment_header));
      environment.push(...environmentHeader(profile, name));
    };
    const body = await work({ issuerId, isOf });
    headers.push('X-Request-Id', info.id);
    return { status: 200, body: JSON.stringify(body) };
  } catch (error) {
    noteOnRequest(info, { code: toAppError(error).code });
    return answerFlat(error, info.id, docsBaseUrl, headers);
  } finally {
    headers.push(...cors, ...environment);
  }
}

/** @throws what is a fault of ours */
function answerFlat(error: unknown, requestId: string, docsBaseUrl: string, headers: string[]): EdgeAnswer {
  const { code, status, detail, headers: own } = toAppError(error);
  if (status >= 500 && code !== 'unavailable') throw error;
  headers.push('X-Request-Id', requestId);
  if (status === 401) headers.push('WWW-Authenticate', challenge);
  for (const [name, value] of Object.entries(own)) headers.push(name, value);
  if (isRefusal(code)) {
    const { body, contentType } = renderRefusal('flat', code, { requestId, docsBaseUrl, message: detail });
    return { status, body, contentType };
  }
  return {
    status,
    body: JSON.stringify({ error: detail, code: code.toUpperCase() }),
    contentType: 'application/json',
  };
}

function isRefusal(code: string): code is RefusalCode {
  return code in refusals;
}
