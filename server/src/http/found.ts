import { AppError } from '../errors.ts';
import { requireMatch } from './etag.ts';

/** What a request is about. @throws not_found where there is no such thing, or none that the caller can see */
export function found<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new AppError('not_found');
  return row;
}

/** The same for a change of it. @throws not_found, precondition_failed, bad_request for an If-Match that is none */
export function foundUnchanged<Row extends { version: number }>(
  row: Row | undefined,
  ifMatch: string | undefined,
): Row {
  const current = found(row);
  requireMatch(ifMatch, current.version);
  return current;
}
