import type { z } from 'zod';
import type { IssuerOfSettings } from '../login-settings/login-settings.ts';
import type { Transaction } from '../postgres/database.ts';
import type { JsonObject } from '../postgres/schema.ts';
import { type oidcSettingsMembers, storedOidcSettings } from './oidc-settings-schema.ts';

/** What the OIDC runtime of an issuer does, every member resolved. Durations are whole seconds. */
export type OidcSettings = z.output<typeof oidcSettingsMembers>;

/** The settings of an issuer that has set nothing. */
export const defaultOidcSettings: OidcSettings = Object.freeze(storedOidcSettings.parse({}));

/** The settings of an issuer, with their version: 0 where nothing has been set yet. */
export async function findOidcSettingsRow(
  tx: Transaction,
  issuer: IssuerOfSettings,
): Promise<{ settings: OidcSettings; version: number }> {
  const row = await tx
    .selectFrom('oidc_settings')
    .select(['settings', 'version'])
    .where('account_id', '=', issuer.account.id)
    .where('issuer_id', '=', issuer.id)
    .executeTakeFirst();
  return { settings: resolveOidcSettings(row?.settings ?? null), version: row?.version ?? 0 };
}

/** What an issuer has set, as it is stored, and the defaults of the rest; null where it has set nothing. */
export function resolveOidcSettings(stored: JsonObject | null): OidcSettings {
  return stored === null ? defaultOidcSettings : storedOidcSettings.parse(stored);
}
