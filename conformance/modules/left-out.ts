import { skippedForStaticClients } from '../suite/module.ts';

/** Modules of Basic OP that register a client of their own, so that the plan leaves them out for static clients. */
export const idTokenSignature = skippedForStaticClients(
  'oidcc-idtoken-signature',
  'a client that asks for no algorithm gets ID tokens signed by RS256',
  'registers a client without id_token_signed_response_alg; for a static client oidcc-server checks the signature',
);

export const idTokenUnsigned = skippedForStaticClients(
  'oidcc-idtoken-unsigned',
  'a client that asks for unsigned ID tokens gets them, where they are supported',
  'registers a client with id_token_signed_response_alg none',
);

export const requestUriUnsigned = skippedForStaticClients(
  'oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported',
  'an unsigned request object behind a request_uri is obeyed or refused',
  'registers a client with request_uris that the suite would have to serve',
);
