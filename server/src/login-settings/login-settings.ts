import type { z } from 'zod';
import type { Transaction } from '../postgres/database.ts';
import type { JsonObject } from '../postgres/schema.ts';
import { type loginSettingsMembers, storedLoginSettings } from './login-settings-schema.ts';

/** How the users of an issuer sign in, every member resolved. Durations are whole seconds. */
export type LoginSettings = z.output<typeof loginSettingsMembers>;

/** Whose settings are asked for. */
export interface IssuerOfSettings {
  readonly id: string;
  readonly account: { readonly id: string };
}

/** The settings of an issuer that has set nothing. */
export const defaultLoginSettings: LoginSettings = Object.freeze(storedLoginSettings.parse({}));

/** The settings of an issuer: what it has set, and the defaults of the rest. */
export async function findLoginSettings(tx: Transaction, issuer: IssuerOfSettings): Promise<LoginSettings> {
  return (await findLoginSettingsRow(tx, issuer)).settings;
}

/** As `findLoginSettings`, with their version: 0 where nothing has been set yet. */
export async function findLoginSettingsRow(
  tx: Transaction,
  issuer: IssuerOfSettings,
): Promise<{ settings: LoginSettings; version: number }> {
  const row = await tx
    .selectFrom('login_settings')
    .select(['settings', 'version'])
    .where('account_id', '=', issuer.account.id)
    .where('issuer_id', '=', issuer.id)
    .executeTakeFirst();
  return { settings: resolveLoginSettings(row?.settings ?? null), version: row?.version ?? 0 };
}

/** What an issuer has set, as it is stored, and the defaults of the rest; null where it has set nothing. */
export function resolveLoginSettings(stored: JsonObject | null): LoginSettings {
  return stored === null ? defaultLoginSettings : storedLoginSettings.parse(stored);
}
