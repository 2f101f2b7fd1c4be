import { AppError, errorTable } from '../errors.ts';

/**
 * The same error, but what is not found at a path with an empty part, such as `/v1/issuers//clients`, says so: in a shell
 * that is what a variable leaves which nobody has set. Where the error says something of its own, that stays.
 *
 * @param url path, with or without a query
 */
export function explainEmptyPart(error: AppError, url: string | undefined): AppError {
  const { code, status, detail, cause } = error;
  if (status !== 404 || detail !== errorTable[code].detail || !hasEmptyPart(url ?? '/')) return error;
  return new AppError(code, { detail: 'The path has an empty part; is a variable unset?', cause });
}

function hasEmptyPart(url: string): boolean {
  const path = url.split('?', 1)[0]!;
  return path.length > 1 && (path.includes('//') || path.endsWith('/'));
}
