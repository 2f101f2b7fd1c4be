import type { OidcSettings } from './oidc-settings.ts';

export const deviceCodeGrant = 'urn:ietf:params:oauth:grant-type:device_code';

/** The grant types that an issuer with these settings has. */
export function grantTypesOf({ device_flow: hasDeviceFlow }: OidcSettings): ReadonlySet<string> {
  return new Set([
    'authorization_code',
    'refresh_token',
    'client_credentials',
    ...(hasDeviceFlow ? [deviceCodeGrant] : []),
  ]);
}
