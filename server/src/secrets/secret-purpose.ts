/**
 * What the installation's secrets are for. Each has random 32-byte keys of its own, in numbered generations, so that
 * one can be changed without the others.
 */
export const secretPurposes = [
  'api-key-digest',
  'api-key-check',
  'cursor',
  'signing-key',
  'refresh-token',
  'client-secret',
  'mail',
  'otp',
  'oidc',
  'cookie',
] as const;

export type SecretPurpose = (typeof secretPurposes)[number];

/** The highest generation: API keys name theirs in one character of 0-9A-Za-z. */
export const lastGeneration = 62;

/** One generation of a secret. */
export interface SecretGeneration {
  /** 1…62. */
  generation: number;
  key: Buffer;
}
