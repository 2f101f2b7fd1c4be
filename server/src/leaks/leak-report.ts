import { z } from 'zod';
import { type FieldError, invalidFields } from '../errors.ts';
import { isStorableText, text } from '../http/fields.ts';
import { unknownMemberMessage } from '../http/unknown-member.ts';
import { maxErrors } from '../http/validation.ts';

const maxSecret = 512;
export const maxUrl = 2_048;

/** Body of `POST /v1/keys/report-leak`, as its contract; `parseLeakReport` checks it. */
export const leakReportBody = z
  .strictObject({
    secret: text(1, maxSecret).describe('The key as it was found.'),
    url: z
      .string()
      .max(maxUrl)
      .nullish()
      .describe('Where it was found. The owner of the key is shown it, without the key.'),
  })
  .meta({
    id: 'LeakReportRequest',
    examples: [
      {
        secret: 'gl_live_sk_EXAMPLEexampleEXAMPLEexampleEXAMPLEexample0011',
        url: 'https://example.com/pastes/42',
      },
    ],
  });

/** The one answer there is. */
export const leakReportAnswer = z.object({ data: z.object({ status: z.literal('accepted') }) }).meta({
  id: 'LeakReportAccepted',
});

export interface LeakReport {
  secret: string;
  url: string | null;
}

/**
 * Checks the body of a leak report. By hand rather than by schema, so that no message can hold the secret: it may stand in
 * the wrong place, even as the name of a member.
 *
 * @throws invalid_request (422)
 */
export function parseLeakReport(body: unknown): LeakReport {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidFields([{ path: '', message: 'must be a JSON object', code: 'invalid_type' }]);
  }
  const { secret, url, ...others } = body as Record<string, unknown>;
  const errors: FieldError[] = [];
  if (secret === undefined) errors.push({ path: 'secret', message: 'is required', code: 'required' });
  else if (!isText(secret, maxSecret) || secret === '' || !isStorableText(secret)) {
    errors.push({
      path: 'secret',
      message: `must be the key that leaked, 1 to ${maxSecret} characters without NUL or lone surrogates`,
      code: 'invalid_type',
    });
  }
  if (url !== undefined && url !== null && !isText(url, maxUrl)) {
    errors.push({
      path: 'url',
      message: `must be a string of at most ${maxUrl} characters`,
      code: 'invalid_type',
    });
  }
  for (const name of Object.keys(others).slice(0, maxErrors)) {
    errors.push({
      path: nameableName.test(name) && !isPartOf(secret, name) ? name : '',
      message: unknownMemberMessage(name, ['secret', 'url']),
      code: 'unknown_member',
    });
  }
  if (errors.length > 0) throw invalidFields(errors.slice(0, maxErrors));
  return { secret: secret as string, url: (url as string | null | undefined) ?? null };
}

/** No key looks like this, and what people call members does. */
const nameableName = /^[A-Za-z_]{1,40}$/;

function isPartOf(secret: unknown, name: string): boolean {
  return typeof secret === 'string' && (secret.includes(name) || name.includes(secret.trim()));
}

/** Characters are code points, as in JSON Schema. */
function isText(value: unknown, max: number): value is string {
  if (typeof value !== 'string') return false;
  return value.length <= max || (value.length <= 2 * max && Array.from(value).length <= max);
}
