import type { RefusedVerifyCode } from '../verification/refusals.ts';

/**
 * The number of each outcome in a ledger. Segments outlive versions: a number is never given to another outcome, and
 * a new outcome takes the next free one.
 */
const outcomeNumbers = {
  VALID: 1,
  NOT_FOUND: 2,
  REVOKED: 3,
  EXPIRED: 4,
  DISABLED: 5,
  ACCOUNT_SUSPENDED: 6,
  ISSUER_SUSPENDED: 7,
  WRONG_ENVIRONMENT: 8,
  TENANT_REQUIRED: 9,
  TENANT_MISMATCH: 10,
  TENANT_SUSPENDED: 11,
  ORIGIN_NOT_ALLOWED: 12,
  SECRET_KEY_IN_BROWSER: 13,
  IP_NOT_ALLOWED: 14,
  INSUFFICIENT_SCOPE: 15,
  RATE_LIMITED: 16,
  QUOTA_EXCEEDED: 17,
} as const satisfies Record<'VALID' | RefusedVerifyCode, number>;

/** How a decision came out, in the words of `POST /v1/keys/verify`. */
export type Outcome = keyof typeof outcomeNumbers;

/**
 * The same for the ways by which a request comes in; `management` is every route that only asks who the caller is, `auth`
 * those by which an API's users sign in. `caller` stands for no request: it says that a key has been used to verify others.
 */
const entranceNumbers = { verify: 1, authorize: 2, me: 3, management: 4, auth: 5, caller: 6 } as const;

export type Entrance = keyof typeof entranceNumbers;

export const outcomes = Object.keys(outcomeNumbers) as readonly Outcome[];
export const entrances = Object.keys(entranceNumbers) as readonly Entrance[];

/** @throws {RangeError} for what is none */
export function outcomeNumber(outcome: Outcome): number {
  return outcomeNumbers[outcome] ?? unknown(outcome);
}

/** @throws {RangeError} for what is none */
export function entranceNumber(entrance: Entrance): number {
  return entranceNumbers[entrance] ?? unknown(entrance);
}

/** undefined for a number that this version has not given yet. */
export function outcomeOf(number: number): Outcome | undefined {
  return outcomeByNumber[number];
}

/** undefined for a number that this version has not given yet. */
export function entranceOf(number: number): Entrance | undefined {
  return entranceByNumber[number];
}

const outcomeByNumber = byNumber(outcomeNumbers);
const entranceByNumber = byNumber(entranceNumbers);

function byNumber<Name extends string>(
  numbers: Readonly<Record<Name, number>>,
): readonly (Name | undefined)[] {
  const names: (Name | undefined)[] = [];
  for (const name of Object.keys(numbers) as Name[]) names[numbers[name]] = name;
  return names;
}

function unknown(name: string): never {
  throw new RangeError(`the ledger has no number for ${name}`);
}
