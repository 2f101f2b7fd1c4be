import type { LoginSettings } from '../login-settings/login-settings.ts';
import type { Username } from '../users/username.ts';

type SignUp = Pick<LoginSettings, 'sign_up' | 'allowed_domains'>;

/** Whether an address that is no user's yet may become one by signing in. Those who are users already are not asked. */
export function mayJoin(settings: SignUp, username: Pick<Username, 'key'>): boolean {
  return whyMayNotJoin(settings, username) === null;
}

/** What keeps it from that; null where nothing does. */
export function whyMayNotJoin(
  { sign_up: signUp, allowed_domains: domains }: SignUp,
  { key }: Pick<Username, 'key'>,
): 'sign_up_off' | 'domain_not_allowed' | null {
  if (!signUp) return 'sign_up_off';
  const isAllowed = domains.length === 0 || domains.includes(key.slice(key.lastIndexOf('@') + 1));
  return isAllowed ? null : 'domain_not_allowed';
}
