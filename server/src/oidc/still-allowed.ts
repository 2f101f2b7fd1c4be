import { type Client, errors } from 'oidc-provider';

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';

/**
 * Makes sure that a client may still have what was begun for it, minutes ago maybe: what has been taken from it since, such as
 * an address that others have got hold of, is not sent anything.
 *
 * @param redirectUri where the user is sent back to; undefined where a device waits
 * @throws the library's errors: invalid_redirect_uri, which is shown and sent nowhere, and unauthorized_client
 */
export function requireStillAllowed(client: Client, redirectUri: unknown): void {
  if (redirectUri !== undefined && !hasRedirectUri(client, redirectUri))
    throw new errors.InvalidRedirectUri();
  if (!client.grantTypeAllowed(redirectUri === undefined ? deviceGrant : 'authorization_code'))
    throw new errors.UnauthorizedClient('the client may not use this grant type any more');
}

/** Whether the client has its users sent back there at this moment. */
export function hasRedirectUri(client: Client, uri: unknown): boolean {
  return typeof uri === 'string' && client.redirectUriAllowed(uri);
}
