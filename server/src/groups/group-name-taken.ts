import { AppError } from '../errors.ts';
import { brokenConstraint } from '../postgres/constraint.ts';

/** For `catch`: the unique index decides, so two at once can't both have a name. */
export function groupNameTaken(error: unknown): never {
  if (brokenConstraint(error) === 'groups_name') throw new AppError('group_name_taken', { cause: error });
  throw error;
}
