import type { Authenticator } from '../authentication/authenticator.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { readJsonBody } from '../edge/read-body.ts';
import type { KeyRecord } from './records.ts';

/** A body that takes longer is on its way from somebody who waits, and the caller may have been revoked meanwhile. */
const promptMs = 250;

interface CallerBody {
  readonly body: unknown;
  readonly caller: KeyRecord;
}

/**
 * The body of a request whose caller has been authenticated by its headers, and the caller as it is by then. Where the
 * body was slow to come, that is asked again: a key holds a request open for half a minute, and no longer than it lives.
 * Answers at once where the body is here already.
 *
 * @throws what `Authenticator.authenticate` throws of a caller that has died since
 */
export function readBodyOfCaller(
  authenticator: Authenticator,
  request: EdgeRequest,
  caller: KeyRecord,
): CallerBody | Promise<CallerBody> {
  const startedAtMs = performance.now();
  const read = readJsonBody(request);
  if (!(read instanceof Promise)) return { body: read, caller };
  return read.then(async (body: unknown) => {
    if (performance.now() - startedAtMs <= promptMs) return { body, caller };
    return { body, caller: (await authenticator.authenticate(request, [])).record };
  });
}
