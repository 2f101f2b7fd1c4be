import type { LoginSettings } from '../login-settings/login-settings.ts';
import type { Username } from '../users/username.ts';

/** Whether an address that is no user's yet may become one by signing in. Those who are users already are not asked. */
export function mayJoin(
  { sign_up: signUp, allowed_domains: domains }: Pick<LoginSettings, 'sign_up' | 'allowed_domains'>,
  { key }: Pick<Username, 'key'>,
): boolean {
  return signUp && (domains.length === 0 || domains.includes(key.slice(key.lastIndexOf('@') + 1)));
}
