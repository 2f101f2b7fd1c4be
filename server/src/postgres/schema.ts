import type { ColumnType, Generated } from 'kysely';
import type { ClientType } from '../clients/client-settings.ts';
import type { Environment, KeyKind, KeyProfile } from '../key-profiles/key-profile.ts';
import type { CounterPeriod } from '../limits/counter-period.ts';
import type { LevelKind, WindowLimit } from '../limits/limits.ts';
import type { PlanLimits } from '../limits/plan-limits.ts';
import type { StoredQuota } from '../limits/quota.ts';
import type { SigningAlgorithm } from '../signing-keys/signing-key.ts';
import type { UsernameType } from '../users/username.ts';

/** The tables of `server/migrations`, as Kysely types. Times are `Date`, bigint versions `number`. */
export interface Schema {
  installation: InstallationTable;
  installation_secrets: InstallationSecretsTable;
  accounts: AccountsTable;
  account_members: AccountMembersTable;
  support_grants: SupportGrantsTable;
  issuers: IssuersTable;
  key_profiles: KeyProfilesTable;
  organizations: OrganizationsTable;
  clients: ClientsTable;
  client_secrets: ClientSecretsTable;
  users: UsersTable;
  groups: GroupsTable;
  memberships: MembershipsTable;
  group_memberships: GroupMembershipsTable;
  departed_organizations: DepartedOrganizationsTable;
  departed_groups: DepartedGroupsTable;
  login_settings: LoginSettingsTable;
  sessions: SessionsTable;
  refresh_tokens: RefreshTokensTable;
  oidc_records: OidcRecordsTable;
  oidc_consents: OidcConsentsTable;
  oidc_settings: OidcSettingsTable;
  logout_notices: LogoutNoticesTable;
  api_keys: ApiKeysTable;
  events: EventsTable;
  idempotency_records: IdempotencyRecordsTable;
  leak_reports: LeakReportsTable;
  mails: MailsTable;
  plans: PlansTable;
  usage_buckets: UsageBucketsTable;
  key_uses: KeyUsesTable;
  metered_events: MeteredEventsTable;
  ledger_segments: LedgerSegmentsTable;
  limit_windows: LimitWindowsTable;
  otp_addresses: OtpAddressesTable;
  login_budgets: LoginBudgetsTable;
  otp_devices: OtpDevicesTable;
  otp_failures: OtpFailuresTable;
  otp_failed_events: OtpFailedEventsTable;
  signing_keys: SigningKeysTable;
}

/** A value as `jsonb` holds it. */
export type Json = null | boolean | number | string | Json[] | { [member: string]: Json };
export type JsonObject = { [member: string]: Json };

/** Written as JSON text (so that arrays stay JSON and are not taken for Postgres arrays), read as the value. */
type Jsonb<T> = ColumnType<T, string, string>;
type GeneratedJsonb<T> = ColumnType<T, string | undefined, string>;
type Timestamp = ColumnType<Date, Date | undefined, Date>;
type NullableTimestamp = ColumnType<Date | null, Date | null | undefined, Date | null>;

interface InstallationTable {
  singleton: Generated<boolean>;
  id: string;
  created_at: Timestamp;
}

interface InstallationSecretsTable {
  purpose: string;
  generation: number;
  wrapped: Buffer;
  created_at: Timestamp;
  retired_at: NullableTimestamp;
}

export interface AccountsTable {
  id: string;
  name: string;
  plan: string | null;
  status: Generated<'active' | 'suspended' | 'deleting'>;
  is_operator: Generated<boolean>;
  deletion: ColumnType<AccountDeletion | null, string | null | undefined, string | null>;
  leak_revocation_delay_seconds: Generated<number>;
  version: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

/** How far the job that deletes an account has come, in rows of all that there can be many of. */
export interface AccountDeletion {
  requested_at: string;
  total: number;
  deleted: number;
}

interface AccountMembersTable {
  account_id: string;
  email: string;
  role: 'owner' | 'admin' | 'viewer';
  created_at: Timestamp;
}

export interface SupportGrantsTable {
  id: string;
  account_id: string;
  reason: string;
  created_by: Jsonb<JsonObject>;
  created_at: Timestamp;
  expires_at: Date;
  revoked_at: NullableTimestamp;
  last_used_hour: NullableTimestamp;
  version: Generated<number>;
}

export interface IssuersTable {
  id: string;
  account_id: string;
  name: string;
  environment: Environment;
  status: Generated<'active' | 'suspended'>;
  plan: string | null;
  publishable_scopes: Generated<string[]>;
  twin_of: string | null;
  deleting: Generated<boolean>;
  version: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

interface KeyProfilesTable {
  issuer_id: string;
  account_id: string;
  profile: Jsonb<KeyProfile>;
  version: Generated<number>;
  updated_at: Timestamp;
}

export interface OrganizationsTable {
  id: string;
  account_id: string;
  issuer_id: string;
  name: string;
  external_id: string | null;
  plan: string | null;
  metadata: GeneratedJsonb<JsonObject>;
  status: Generated<'active' | 'suspended'>;
  version: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

export interface GroupsTable {
  id: string;
  account_id: string;
  issuer_id: string;
  organization_id: string;
  name: string;
  name_key: string;
  scopes: string[];
  scopes_bytes: number;
  version: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

export interface ClientsTable {
  id: string;
  account_id: string;
  issuer_id: string;
  name: string;
  type: ClientType;
  confidential: boolean;
  settings: Jsonb<JsonObject>;
  metadata: GeneratedJsonb<JsonObject>;
  status: Generated<'active' | 'suspended'>;
  deleting: Generated<boolean>;
  registered_at: NullableTimestamp;
  version: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

export interface MembershipsTable {
  id: string;
  account_id: string;
  issuer_id: string;
  organization_id: string;
  user_id: string;
  scopes: string[];
  scopes_bytes: number;
  version: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

interface GroupMembershipsTable {
  group_id: string;
  membership_id: string;
  account_id: string;
  issuer_id: string;
  organization_id: string;
}

interface DepartedOrganizationsTable {
  id: string;
  account_id: string;
  issuer_id: string;
  created_at: Timestamp;
}

interface DepartedGroupsTable extends DepartedOrganizationsTable {
  organization_id: string;
}

export interface ClientSecretsTable {
  id: string;
  account_id: string;
  issuer_id: string;
  client_id: string;
  digest: Buffer;
  digest_generation: number;
  hint: string;
  created_at: Date;
  expires_at: NullableTimestamp;
}

export interface UsersTable {
  id: string;
  account_id: string;
  issuer_id: string;
  username_type: UsernameType;
  username: string;
  username_key: string;
  /** null where it is the one that the user was made with. */
  username_changed_at: NullableTimestamp;
  /** Its sessions from before then are being ended; see `session-ends.ts`. null where none are. */
  sessions_end_before: NullableTimestamp;
  sessions_end_reason: Generated<'revoked' | 'user_suspended' | null>;
  profile: GeneratedJsonb<JsonObject>;
  metadata: GeneratedJsonb<JsonObject>;
  status: Generated<'active' | 'suspended'>;
  version: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

interface LoginSettingsTable {
  issuer_id: string;
  account_id: string;
  settings: Jsonb<JsonObject>;
  version: Generated<number>;
  updated_at: Timestamp;
}

/** Why a session is over before its time. */
export type EndReason =
  | 'logout'
  | 'revoked'
  | 'refresh_reuse'
  | 'code_reuse'
  | 'token_revoked'
  | 'user_suspended'
  | 'client_deleted';

export interface SessionsTable {
  id: string;
  account_id: string;
  issuer_id: string;
  user_id: string;
  client_id: string;
  amr: string[];
  auth_time: Date;
  scopes: string[];
  ip: string | null;
  user_agent: string | null;
  created_at: Date;
  last_used_at: Date;
  expires_at: Date;
  refreshes_since: Date;
  refreshes: Generated<number>;
  login_uid: string | null;
  userinfo_claims: Generated<string[]>;
  organization_scopes: string[] | null;
  ended_at: NullableTimestamp;
  end_reason: ColumnType<EndReason | null, EndReason | null | undefined, EndReason | null>;
  version: Generated<number>;
}

interface RefreshTokensTable {
  digest: Buffer;
  digest_generation: number;
  account_id: string;
  issuer_id: string;
  session_id: string;
  created_at: Date;
  expires_at: Date;
  used_at: NullableTimestamp;
}

export interface OidcRecordsTable {
  issuer_id: string;
  model: string;
  digest: Buffer;
  secret_generation: number;
  account_id: string;
  sealed: Buffer;
  user_code: Buffer | null;
  login_uid: string | null;
  grant_id: string | null;
  session_id: string | null;
  user_id: string | null;
  created_at: ColumnType<Date, Date, never>;
  expires_at: Date;
  consumed_at: ColumnType<Date | null, Date | null | undefined, Date>;
}

/** What a user has allowed a client, as it is stored. */
export interface StoredConsent {
  openid: string[];
  claims: string[];
  resources: Record<string, string[]>;
  /** The most that its tokens carry of scopes in organizations; null: whatever the user has. Absent: it was not asked. */
  organization_scopes?: string[] | null;
  /** Of which organizations its tokens may tell; null and absent: of all that the user has. */
  organizations?: string[] | null;
}

/** What a user has allowed a client. */
export type ConsentGranted = Required<StoredConsent>;

interface OidcConsentsTable {
  issuer_id: string;
  user_id: string;
  client_id: string;
  account_id: string;
  granted: Jsonb<StoredConsent>;
  updated_at: Date;
}

export interface LogoutNoticesTable {
  id: string;
  account_id: string;
  issuer_id: string;
  client_id: string;
  user_id: string;
  session_id: string;
  created_at: Date;
  due_at: Date;
  attempts: Generated<number>;
}

interface OidcSettingsTable {
  issuer_id: string;
  account_id: string;
  settings: Jsonb<JsonObject>;
  version: Generated<number>;
  updated_at: Timestamp;
}

/** When a rotated key stops: at the end of its grace, or earlier once nobody uses it. */
export type Retirement = 'after-grace' | 'when-quiet';

export interface ApiKeysTable {
  id: string;
  account_id: string;
  issuer_id: string | null;
  organization_id: string | null;
  name: string;
  description: string | null;
  kind: KeyKind;
  environment: Environment;
  status: Generated<'active' | 'disabled' | 'revoked'>;
  hint: string;
  digest: Buffer;
  digest_generation: number;
  check_generation: number;
  scopes: string[] | null;
  origins: Generated<string[]>;
  browsers: Generated<'allow' | 'deny'>;
  require_origin: Generated<boolean>;
  ips: Generated<string[]>;
  metadata: GeneratedJsonb<JsonObject>;
  expires_at: NullableTimestamp;
  created_by: Jsonb<JsonObject>;
  rotation_due_at: NullableTimestamp;
  revoked_at: NullableTimestamp;
  last_used_at: NullableTimestamp;
  lineage_id: ColumnType<string | null, string | null | undefined, never>;
  predecessor_id: ColumnType<string | null, string | null | undefined, never>;
  successor_id: ColumnType<string | null, string | null | undefined, string | null>;
  rotated_at: NullableTimestamp;
  retires_at: NullableTimestamp;
  retire: ColumnType<Retirement | null, Retirement | null | undefined, Retirement | null>;
  uses_before_rotation: ColumnType<number | null, never, number | null>;
  import_batch: ColumnType<string | null, string | null | undefined, never>;
  exposure_told_on: ColumnType<Date | null, never, Date | null>;
  leak_told_on: ColumnType<Date | null, never, Date | null>;
  next_notice_at: NullableTimestamp;
  limits: GeneratedJsonb<WindowLimit[]>;
  quota: ColumnType<StoredQuota | null, string | null | undefined, string | null>;
  version: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

export interface EventsTable {
  id: string;
  account_id: string;
  type: string;
  created_at: Timestamp;
  issuer_id: string | null;
  organization_id: string | null;
  environment: Environment;
  actor: Jsonb<JsonObject>;
  subject_type: string;
  subject_id: string;
  request_id: string | null;
  data: GeneratedJsonb<JsonObject>;
}

interface IdempotencyRecordsTable {
  account_id: string;
  id: Buffer;
  fingerprint: Buffer;
  response: Buffer;
  created_at: Timestamp;
  expires_at: Date;
}

/** What anybody has reported as leaked and nobody has looked at yet. No account owns it. */
interface LeakReportsTable {
  id: string;
  digest: Buffer;
  reported_url: string | null;
  received_at: Timestamp;
  due_at: Timestamp;
}

/** What waits to be handed to the mail server, and what is kept of sandbox issuers. */
export interface MailsTable {
  id: string;
  account_id: string;
  issuer_id: string;
  environment: Environment;
  subject_type: string;
  subject_id: string;
  sealed: Buffer;
  secret_generation: number;
  recipient: ColumnType<Buffer | null, Buffer | null, never>;
  is_withheld: boolean;
  due_at: ColumnType<Date | null, Date | null, Date | null>;
  attempts: Generated<number>;
  not_after: ColumnType<Date, Date, never>;
  created_at: ColumnType<Date, Date, never>;
}

export interface PlansTable {
  account_id: string;
  name: string;
  description: string | null;
  limits: GeneratedJsonb<PlanLimits>;
  included: GeneratedJsonb<IncludedUsage>;
  version: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

/** What a month’s decisions may cost before it is overage; null for all there are. */
export interface IncludedUsage {
  live: number | null;
  sandbox: number | null;
}

/** Read here, written by `fold_ledger` and `report_outcomes` alone. */
export interface UsageBucketsTable {
  account_id: string;
  level: LevelKind;
  subject_id: string;
  grain: 'hour' | 'day';
  start_at: ColumnType<Date, never, never>;
  environment: Environment;
  issuer_id: string;
  organization_id: string;
  code: string;
  is_management: boolean;
  count: number;
  cost: number;
  reported: number;
  errors: number;
  timed: number;
  latency_ms: number;
}

interface KeyUsesTable {
  key_id: string;
  account_id: string;
  last_used_at: ColumnType<Date, never, never>;
}

export interface MeteredEventsTable {
  id: string;
  account_id: string;
  type: 'api-key.verified' | 'api-key.rejected';
  created_at: ColumnType<Date, never, never>;
  last_at: ColumnType<Date, never, never>;
  issuer_id: string | null;
  organization_id: string | null;
  environment: Environment;
  key_id: string;
  code: string;
  minute: ColumnType<Date, never, never>;
  count: number;
}

interface LedgerSegmentsTable {
  segment_id: string;
  data_directory_id: string;
  created_at: ColumnType<Date, never, never>;
  position: number;
  folded_at: ColumnType<Date, never, never>;
  is_finished: boolean;
  lost_bytes: number;
}

interface LimitWindowsTable {
  account_id: string;
  kind: LevelKind;
  subject_id: string;
  environment: Environment;
  name: string;
  period: CounterPeriod;
  window_start: number;
  used: number;
}

export interface SigningKeysTable {
  id: string;
  account_id: string;
  issuer_id: string;
  algorithm: SigningAlgorithm;
  sealed: Buffer;
  secret_generation: number;
  activates_at: Date;
  retires_at: NullableTimestamp;
  expires_at: NullableTimestamp;
  version: Generated<number>;
  created_at: Timestamp;
}

interface OtpAddressesTable {
  account_id: string;
  issuer_id: string;
  address: Buffer;
  code_id: string | null;
  mac: Buffer | null;
  mac_generation: number | null;
  code_expires_at: Date | null;
  code_used_at: Date | null;
  code_guesses: Generated<number>;
  window_ends_at: Date | null;
  window_guesses: Generated<number>;
  sends: Generated<Date[]>;
  public_sends: Generated<Date[]>;
  guesses: Generated<Date[]>;
  public_guesses: Generated<Date[]>;
  kept_until: Date;
}

interface LoginBudgetsTable {
  account_id: string;
  kind: 'key' | 'ip' | 'guess';
  subject: Buffer;
  takes: Generated<Date[]>;
  public_takes: Generated<Date[]>;
  kept_until: Date;
}

interface OtpDevicesTable {
  digest: Buffer;
  account_id: string;
  issuer_id: string;
  user_id: string;
  address: Buffer;
  created_at: Date;
  expires_at: Date;
}

interface OtpFailuresTable {
  account_id: string;
  issuer_id: string;
  slot: Date;
  part: number;
  count: number;
}

export interface OtpFailedEventsTable {
  id: string;
  account_id: string;
  issuer_id: string;
  organization_id: string | null;
  environment: Environment;
  key_id: string;
  actor: ColumnType<JsonObject, string, never>;
  request_id: string | null;
  minute: Date;
  created_at: Date;
  last_at: Date;
  count: number;
}
