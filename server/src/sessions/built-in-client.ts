/**
 * `client_id` of the tokens that signing in by code yields: a client of every issuer, which nobody has to make. No other
 * client's id looks like it, and `/auth/…` and `/v1/me` take tokens of no other.
 */
export const builtInClientId = 'otp';
