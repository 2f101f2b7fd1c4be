import { isIP } from 'node:net';
import { type FieldError, invalidFields } from '../errors.ts';
import { isStorableText } from '../http/fields.ts';
import { echoedName, maxErrors } from '../http/validation.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import { parseScope } from '../scopes/scope.ts';

/** The body of `POST /v1/keys/verify`. */
export interface VerifyRequest {
  key: string;
  origin?: string;
  ip?: string;
  tenant?: string;
  environment?: Environment;
  scopes: readonly string[];
  request_id?: string;
}

const noScopes: readonly string[] = Object.freeze([]);
const maxScopes = 100;

/**
 * Checks the body of a verification. By hand rather than by schema, since this stands on the hot path; its contract
 * is declared beside it, and a test holds the two together.
 *
 * @throws invalid_request (422) with one entry for each member that is wrong, at most 50
 */
export function parseVerifyRequest(body: unknown): VerifyRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidFields([{ path: '', message: 'must be a JSON object', code: 'invalid_type' }]);
  }
  const errors: FieldError[] = [];
  const request: VerifyRequest = { key: '', scopes: noScopes };
  let hasKey = false;
  for (const member in body) {
    const value = (body as Record<string, unknown>)[member];
    switch (member) {
      case 'key':
        hasKey = true;
        if (isText(value, 1, 512)) request.key = value;
        else
          errors.push({
            path: 'key',
            message: 'must be the API key to verify, 1 to 512 characters',
            code: 'invalid_type',
          });
        break;
      case 'origin':
      case 'tenant':
        if (value === null) break;
        if (isText(value, 1, 512)) request[member] = value;
        else
          errors.push({
            path: member,
            message: 'must be a string of 1 to 512 characters',
            code: 'invalid_type',
          });
        break;
      case 'ip':
        if (value === null) break;
        if (typeof value === 'string' && isIP(value) !== 0) request.ip = value;
        else errors.push({ path: 'ip', message: 'must be an IPv4 or IPv6 address', code: 'invalid_format' });
        break;
      case 'environment':
        if (value === null) break;
        if (value === 'live' || value === 'sandbox') request.environment = value;
        else
          errors.push({ path: 'environment', message: 'must be "live" or "sandbox"', code: 'invalid_value' });
        break;
      case 'request_id':
        if (value === null) break;
        if (typeof value === 'string' && /^[\x21-\x7e]{1,128}$/.test(value)) request.request_id = value;
        else
          errors.push({
            path: 'request_id',
            message: 'must be 1 to 128 printable ASCII characters',
            code: 'invalid_format',
          });
        break;
      case 'scopes':
        if (value === null) break;
        request.scopes = parseScopes(value, errors);
        break;
      default:
        errors.push({
          path: echoedName(member),
          message: 'is not a member of this request; remove it',
          code: 'unknown_member',
        });
    }
  }
  if (!hasKey) errors.push({ path: 'key', message: 'is required', code: 'required' });
  if (errors.length > 0) throw invalidFields(errors.slice(0, maxErrors));
  return request;
}

function parseScopes(value: unknown, errors: FieldError[]): readonly string[] {
  if (!Array.isArray(value) || value.length > maxScopes) {
    errors.push({
      path: 'scopes',
      message: `must be an array of at most ${maxScopes} scopes`,
      code: 'invalid_type',
    });
    return noScopes;
  }
  value.forEach((scope, index) => {
    const parsed =
      typeof scope === 'string' ? parseScope(scope) : { ok: false as const, message: 'must be a string' };
    if (!parsed.ok)
      errors.push({ path: `scopes[${index}]`, message: parsed.message, code: 'invalid_format' });
  });
  return value as string[];
}

function isText(value: unknown, min: number, max: number): value is string {
  return typeof value === 'string' && value.length >= min && isAtMost(max, value) && isStorableText(value);
}

/** Characters are code points, as in JSON Schema; there are never more of them than of what `length` counts. */
function isAtMost(max: number, value: string): boolean {
  return value.length <= max || (value.length <= 2 * max && Array.from(value).length <= max);
}
