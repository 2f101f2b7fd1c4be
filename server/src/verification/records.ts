import type { CompiledIpRanges } from '../api-keys/ip-ranges.ts';
import type { Environment, KeyKind, KeyProfile } from '../key-profiles/key-profile.ts';
import type { LimitLevel } from '../limits/limits.ts';
import type { PlanLevels } from '../limits/plan-limits.ts';
import type { JsonObject } from '../postgres/schema.ts';

/** What a decision needs of an account. `isStale` says that it has changed since; then it may not be used any more. */
export interface AccountRecord {
  readonly id: string;
  readonly status: 'active' | 'suspended' | 'deleting';
  readonly isOperator: boolean;
  /** One of the operator's plans. */
  readonly plan: string | null;
  readonly levels: PlanLevels;
  isStale: boolean;
}

/** What a decision needs of an issuer, its key profile included. */
export interface IssuerRecord {
  readonly id: string;
  readonly account: AccountRecord;
  readonly status: 'active' | 'suspended';
  readonly environment: Environment;
  readonly profile: KeyProfile;
  readonly publishableScopes: readonly string[];
  /** One of the account's own plans. */
  readonly plan: string | null;
  readonly levels: PlanLevels;
  isStale: boolean;
}

/** What a decision needs of an organization. */
export interface OrganizationRecord {
  readonly id: string;
  readonly accountId: string;
  readonly issuerId: string;
  readonly name: string;
  readonly externalId: string | null;
  readonly status: 'active' | 'suspended';
  /** One of the account's own plans. */
  readonly plan: string | null;
  readonly levels: PlanLevels;
  isStale: boolean;
}

/** An API key with all that a decision about it needs; a plain object, about 400 bytes of its own. */
export interface KeyRecord {
  readonly id: string;
  readonly name: string;
  readonly kind: KeyKind;
  readonly environment: Environment;
  readonly status: 'active' | 'disabled' | 'revoked';
  /** When it stops working: its expiry or, where that is earlier, the end of the grace after its rotation. */
  readonly expiresAtMs: number | null;
  /** null: every permission of the account. */
  readonly scopes: readonly string[] | null;
  readonly origins: readonly string[];
  readonly browsers: 'allow' | 'deny';
  readonly requireOrigin: boolean;
  readonly ips: CompiledIpRanges | null;
  readonly metadata: JsonObject;
  /** The first key of its line of rotations: its own id, if it is the first. Limits belong to the line. */
  readonly lineageId: string;
  /** When it was rotated: from then on its answers are marked as deprecated. */
  readonly rotatedAtMs: number | null;
  /** Found by a hash that another system made. Only verify and authorize take it. */
  readonly isImported: boolean;
  /** Its own limits and credits; null where it has none. They are the line's. */
  readonly ownLevel: LimitLevel | null;
  readonly account: AccountRecord;
  readonly issuer: IssuerRecord | null;
  readonly organization: OrganizationRecord | null;
}
