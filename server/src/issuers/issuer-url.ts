import type { Settings } from '../settings.ts';

/** The `iss` of an issuer's tokens and the base of its runtime. Of the settings, and never of a request. */
export function issuerUrl({ publicUrl }: Pick<Settings, 'publicUrl'>, issuerId: string): string {
  return `${publicUrl}/${issuerId}`;
}
