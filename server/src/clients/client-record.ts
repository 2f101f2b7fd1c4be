import type { Environment } from '../key-profiles/key-profile.ts';
import type { JsonObject } from '../postgres/schema.ts';
import type { HeldSecret } from './client-secret.ts';
import type { ClientSettings, ClientType } from './client-settings.ts';
import { readSettings } from './stored-settings.ts';

/** A client with all that decides what it may do. Nobody changes it. */
export interface ClientRecord {
  readonly id: string;
  readonly accountId: string;
  readonly issuerId: string;
  readonly name: string;
  readonly type: ClientType;
  readonly confidential: boolean;
  /** It has registered itself (RFC 7591): nobody of the account vouches for it. */
  readonly isRegistered: boolean;
  /** Whole: no default is left to whoever reads it. */
  readonly settings: ClientSettings;
  readonly status: 'active' | 'suspended';
  readonly issuerStatus: 'active' | 'suspended';
  readonly environment: Environment;
  readonly accountStatus: 'active' | 'suspended' | 'deleting';
  /** Newest first; some may have expired. For `ClientDirectory.verifySecret`. */
  readonly secrets: readonly HeldSecret[];
}

/** A row of `lookup_client_v2`. */
export interface ClientLookupRow {
  id: string;
  account_id: string;
  issuer_id: string;
  name: string;
  type: ClientType;
  confidential: boolean;
  is_registered: boolean;
  settings: JsonObject;
  status: ClientRecord['status'];
  issuer_status: ClientRecord['issuerStatus'];
  issuer_environment: Environment;
  account_status: ClientRecord['accountStatus'];
  secrets: { digest: string; generation: number; expires_at_ms: number | null }[];
}

export function toClientRecord(row: ClientLookupRow): ClientRecord {
  return {
    id: row.id,
    accountId: row.account_id,
    issuerId: row.issuer_id,
    name: row.name,
    type: row.type,
    confidential: row.confidential,
    isRegistered: row.is_registered,
    settings: readSettings(row),
    status: row.status,
    issuerStatus: row.issuer_status,
    environment: row.issuer_environment,
    accountStatus: row.account_status,
    secrets: row.secrets.map(({ digest, generation, expires_at_ms }) => ({
      digest: Buffer.from(digest, 'hex'),
      generation,
      expiresAtMs: expires_at_ms,
    })),
  };
}

const bytesOfRecord = 1_500;

/** What a record takes of memory, in bytes, roughly: the texts that its owner chooses, and all else. */
export function weightOf({ name, settings }: ClientRecord): number {
  return bytesOfRecord + 2 * (name.length + JSON.stringify(settings).length);
}
