import { type AppError, errorTable } from '../errors.ts';

export const problemContentType = 'application/problem+json';

/** The RFC 9457 document of an error. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  request_id: string;
  errors?: { path: string; message: string; code: string }[];
}

/** Makes the RFC 9457 answer of an error; `docsBaseUrl` is where /docs/errors lives. */
export function toProblem(error: AppError, requestId: string, docsBaseUrl: string): Problem {
  return {
    type: `${docsBaseUrl}/docs/errors/${error.code}`,
    title: errorTable[error.code].title,
    status: error.status,
    detail: error.detail + mentionOfOthers(error),
    code: error.code,
    request_id: requestId,
    ...(error.errors && { errors: error.errors }),
  };
}

/** The detail tells of one fault of several, and where the others are told. */
function mentionOfOthers({ errors = [] }: AppError): string {
  return errors.length > 1 ? ` (and ${errors.length - 1} more: see errors)` : '';
}
