import type { IncomingMessage } from 'node:http';
import type { Authenticator } from '../authentication/authenticator.ts';
import { readJsonBody } from '../edge/read-body.ts';
import type { KeyRecord } from './records.ts';

/** A body that takes longer is on its way from somebody who waits, and the caller may have been revoked meanwhile. */
const promptMs = 250;

/**
 * The body of a request whose caller has been authenticated by its headers, and the caller as it is by then. Where the
 * body was slow to come, that is asked again: a key holds a request open for half a minute, and no longer than it lives.
 *
 * @throws what `Authenticator.authenticate` throws of a caller that has died since
 */
export async function readBodyOfCaller(
  authenticator: Authenticator,
  request: IncomingMessage,
  caller: KeyRecord,
): Promise<{ body: unknown; caller: KeyRecord }> {
  const startedAtMs = performance.now();
  const body = await readJsonBody(request);
  if (performance.now() - startedAtMs <= promptMs) return { body, caller };
  return { body, caller: (await authenticator.authenticate(request, [])).record };
}
