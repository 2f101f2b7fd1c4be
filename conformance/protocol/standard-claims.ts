import type { Trial } from '../suite/trial.ts';

type Claims = Readonly<Record<string, unknown>>;

/** The claims that each scope asks for (Core §5.4). */
export const claimsOfScope = {
  profile: [
    'name',
    'family_name',
    'given_name',
    'middle_name',
    'nickname',
    'preferred_username',
    'profile',
    'picture',
    'website',
    'gender',
    'birthdate',
    'zoneinfo',
    'locale',
    'updated_at',
  ],
  email: ['email', 'email_verified'],
  address: ['address'],
  phone: ['phone_number', 'phone_number_verified'],
} as const;

export type ClaimsScope = keyof typeof claimsOfScope;

const booleans: ReadonlySet<string> = new Set(['email_verified', 'phone_number_verified']);
const urls: ReadonlySet<string> = new Set(['profile', 'picture', 'website']);

/** Claims that an ID token may have without anybody asking (Core §2, §3.3.2.11, RFC 7519, logout). */
export const idTokenClaims: readonly string[] = [
  'iss',
  'sub',
  'aud',
  'exp',
  'iat',
  'nbf',
  'jti',
  'auth_time',
  'nonce',
  'acr',
  'amr',
  'azp',
  'at_hash',
  'c_hash',
  's_hash',
  'sid',
];

/** Checks the types of the standard claims that are there (Core §2, §5.1). */
export function checkClaimTypes(trial: Trial, claims: Claims, where: string): void {
  const wrong = (name: string, type: string) => `${name} of ${where} is no ${type} (Core §5.1)`;
  for (const name of Object.values(claimsOfScope).flat()) {
    const value = claims[name];
    if (value === undefined) continue;
    if (name === 'address') trial.check(isAddress(value), wrong(name, 'object of strings'));
    else if (name === 'updated_at') trial.check(typeof value === 'number', wrong(name, 'number'));
    else if (booleans.has(name)) trial.check(typeof value === 'boolean', wrong(name, 'boolean'));
    else trial.check(typeof value === 'string' && value !== '', wrong(name, 'string'));
    if (urls.has(name)) trial.check(typeof value === 'string' && URL.canParse(value), wrong(name, 'URL'));
  }
  const { birthdate, acr, amr } = claims;
  trial.check(
    birthdate === undefined || (typeof birthdate === 'string' && /^\d{4}(-\d{2}-\d{2})?$/.test(birthdate)),
    wrong('birthdate', 'date or year'),
  );
  trial.check(acr === undefined || typeof acr === 'string', wrong('acr', 'string'));
  trial.check(
    amr === undefined || (Array.isArray(amr) && amr.every((each) => typeof each === 'string')),
    wrong('amr', 'list of strings'),
  );
}

function isAddress(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((part) => typeof part === 'string');
}
