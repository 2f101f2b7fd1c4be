import { AppError } from '../errors.ts';
import type { Principal } from './principal.ts';

/** For what is live data whichever environment it is asked for: no sandbox key has a part in it. @throws wrong_environment */
export function requireLive(principal: Principal): void {
  if (principal.environment === 'sandbox') throw new AppError('wrong_environment');
}
