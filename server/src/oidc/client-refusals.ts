/**
 * The `error_description` of an `invalid_client` (RFC 6749 §5.2), wherever a client shows who it is. Ids of clients are no
 * secret, and whether one has a secret is none either. A client of another issuer is told as what there is none of.
 */
export const clientRefusals = {
  unknown: 'client_id is no active client of this issuer',
  wrongSecret: "the secret is none of this client's",
  secretMissing: 'this client has a secret: send it by HTTP Basic or as client_secret',
  secretSent: 'this client is public: send client_id alone, without a secret',
} as const;
