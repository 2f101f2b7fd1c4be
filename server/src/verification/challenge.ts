import type { KeyProfile } from '../key-profiles/key-profile.ts';

/** How a 401 says where the key belongs (RFC 9110 §11.6.1). */
export function challengeOf(profile: KeyProfile): string {
  const header = profile.key_headers[0];
  return header?.toLowerCase() === 'authorization'
    ? 'Bearer realm="gatelodge"'
    : `ApiKey realm="gatelodge", header="${header}"`;
}
