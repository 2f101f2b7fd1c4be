import { AppError } from '../errors.ts';
import { brokenConstraint } from '../postgres/constraint.ts';

/** For `catch`: the unique index decides, so two at once can't both have an external id. */
export function externalIdTaken(error: unknown): never {
  if (brokenConstraint(error) === 'organizations_external_id')
    throw new AppError('external_id_taken', { cause: error });
  throw error;
}
