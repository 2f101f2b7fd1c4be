import { isDeepStrictEqual } from 'node:util';
import { scrub } from '../logs/scrub.ts';
import type { JsonObject } from '../postgres/schema.ts';
import type { ClientSettings, ClientType } from './client-settings.ts';

/** What of a client a patch may change. */
interface ChangeableClient {
  name: string;
  type: ClientType;
  settings: ClientSettings;
  metadata: JsonObject;
}

export interface ChangesOfClient {
  /** The paths of its members, of settings down to the last: `settings.openid.pkce`. */
  changed: string[];
  redirect_uris_added?: string[];
  redirect_uris_removed?: string[];
}

/**
 * What has changed of a client, for its event. Of redirect URIs which, all of them: whoever steals codes begins by adding
 * one. They are no more than two clients may have (`client-fields.ts`), and what looks like a secret is taken out of them.
 */
export function changesOfClient(before: ChangeableClient, after: ChangeableClient): ChangesOfClient {
  const { openid: openidBefore, ...settingsBefore } = before.settings;
  const { openid: openidAfter, ...settingsAfter } = after.settings;
  const changed = [
    ...changedMembers('', besideSettings(before), besideSettings(after)),
    ...changedMembers('settings.', settingsBefore, settingsAfter),
    ...changedMembers('settings.openid.', openidBefore, openidAfter),
  ];
  if (!changed.includes('settings.openid.redirect_uris')) return { changed };
  const [had, has] = [openidBefore.redirect_uris, openidAfter.redirect_uris];
  return {
    changed,
    redirect_uris_added: has.filter((uri) => !had.includes(uri)).map(scrub),
    redirect_uris_removed: had.filter((uri) => !has.includes(uri)).map(scrub),
  };
}

function besideSettings({ name, type, metadata }: ChangeableClient) {
  return { name, type, metadata };
}

function changedMembers<Members extends object>(path: string, before: Members, after: Members): string[] {
  return Object.entries(after)
    .filter(([member, value]) => !isDeepStrictEqual(value, before[member as keyof Members]))
    .map(([member]) => `${path}${member}`);
}
