import { AppError } from '../errors.ts';
import { presets } from '../key-profiles/presets.ts';
import { environmentHeader } from './environment-header.ts';
import type { KeyRecord } from './records.ts';

/** @throws permission_denied (403) unless the key may verify others */
export function assertMayVerify(caller: KeyRecord): void {
  if (caller.scopes !== null && !caller.scopes.includes('keys:verify')) {
    throw new AppError('permission_denied', { detail: 'The API key lacks the permission keys:verify.' });
  }
}

/** The environment header of an answer that tells of no key in particular: the caller's own. */
export function environmentOfCaller(caller: KeyRecord): [string, string] {
  return environmentHeader(caller.issuer?.profile ?? presets.standard, caller.environment);
}
