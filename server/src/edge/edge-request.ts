import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** A request that has come in whole; see `FastLane`. */
export interface WholeRequest {
  readonly method: string;
  url: string;
  readonly headers: IncomingHttpHeaders;
  readonly socket: Socket;
  /** The bytes of the body; none for a request without one. */
  readonly wholeBody: Buffer;
}

/** A request as the operations that the edge answers itself see it, whichever way it came in. */
export type EdgeRequest = (IncomingMessage & { readonly wholeBody?: undefined }) | WholeRequest;
