import { AppError } from '../errors.ts';
import { brokenConstraint } from '../postgres/constraint.ts';

/** For `catch`: the unique index decides, so two at once can't both have a username. */
export function usernameTaken(error: unknown): never {
  // The cause of it names the address, and causes are logged: that the index was broken is all there is to say.
  if (brokenConstraint(error) === 'users_username') throw new AppError('username_taken');
  throw error;
}
