import { looksLikeKeySecret } from '../api-keys/key-secret.ts';
import type { KeyProfile } from '../key-profiles/key-profile.ts';
import { environmentOfUnknownKey } from './environment-header.ts';

const credentialParameters = new Set(['access_token', 'api_key', 'apikey', 'api-key']);

/**
 * Says whether a URL's query carries a key: a parameter named like a credential or like one of the profile's key
 * headers, or a value that looks like a key of ours. Such a request is refused, because URLs end up in logs.
 *
 * @param url path and query of a request
 * @param profile of the issuer the request is for; null where it is not known
 */
export function queryPresentsKey(url: string, profile: KeyProfile | null): boolean {
  const start = url.indexOf('?');
  if (start === -1) return false;
  for (const [name, value] of new URLSearchParams(url.slice(start + 1))) {
    const lowerName = name.toLowerCase();
    if (credentialParameters.has(lowerName)) return true;
    if (profile?.key_headers.some((header) => header.toLowerCase() === lowerName)) return true;
    if (looksLikeKeySecret(value) && environmentOfUnknownKey(value, profile) !== null) return true;
  }
  return false;
}
