import { isIP } from 'node:net';
import { type FieldError, invalidFields } from '../errors.ts';
import { isStorableText } from '../http/fields.ts';
import { unknownMemberMessage } from '../http/unknown-member.ts';
import { echoedName, maxErrors } from '../http/validation.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import { limitNamePattern, type NamedCost } from '../limits/limits.ts';
import { parseScope } from '../scopes/scope.ts';
import { parseScopeExpressionOnce, type ScopeDemand } from '../scopes/scope-expression.ts';

/** The body of `POST /v1/keys/verify`. */
export interface VerifyRequest {
  key: string;
  origin?: string;
  ip?: string;
  tenant?: string;
  environment?: Environment;
  scopes: ScopeDemand;
  request_id?: string;
  /** What it takes from every limit; 1 where it is left out. */
  cost?: number;
  /** What it takes from the limits of these names instead; no name twice. */
  limits?: readonly NamedCost[];
  /** Wants every check told instead of a decision that counts. */
  explain?: boolean;
}

/** What it is made of, for whoever has misspelled one. */
const requestMembers = Object.keys({
  key: true,
  origin: true,
  ip: true,
  tenant: true,
  environment: true,
  scopes: true,
  request_id: true,
  cost: true,
  limits: true,
  explain: true,
} satisfies Record<keyof VerifyRequest, true>);

const noScopes: readonly string[] = Object.freeze([]);
const maxScopes = 100;
/** How many limits one request may name. */
export const maxNamedLimits = 20;
/** As much as a record of the ledger holds. */
export const maxCost = 1_000_000_000;
/** How many verifications one batch may ask for. */
export const maxBatch = 100;

/**
 * Checks the body of a verification. By hand rather than by schema, since this stands on the hot path; its contract
 * is declared beside it, and a test holds the two together.
 *
 * @throws invalid_request (422) with one entry for each member that is wrong, at most 50
 */
export function parseVerifyRequest(body: unknown): VerifyRequest {
  const errors: FieldError[] = [];
  const request = readVerifyRequest(body, '', errors);
  if (errors.length > 0) throw invalidFields(errors.slice(0, maxErrors));
  return request;
}

/**
 * Checks the body of a batch of verifications: one that is wrong refuses them all.
 *
 * @throws invalid_request (422) with one entry for each member that is wrong, at most 50, such as `requests[3].key`
 */
export function parseVerifyBatch(body: unknown): readonly VerifyRequest[] {
  if (!isObject(body)) throw invalidFields([notAnObject('')]);
  const errors: FieldError[] = [];
  for (const member in body) if (member !== 'requests') addUnknownMember(member, '', ['requests'], errors);
  const { requests } = body;
  if (requests === undefined) errors.push({ path: 'requests', message: 'is required', code: 'required' });
  else if (!Array.isArray(requests) || requests.length === 0 || requests.length > maxBatch) {
    const message = `must be an array of 1 to ${maxBatch} verify requests`;
    errors.push({ path: 'requests', message, code: 'invalid_type' });
  }
  const parsed: VerifyRequest[] = [];
  const entries: readonly unknown[] = errors.length === 0 ? (requests as unknown[]) : [];
  for (const [index, entry] of entries.entries()) {
    parsed.push(readVerifyRequest(entry, `requests[${index}]`, errors));
    if (errors.length >= maxErrors) break;
  }
  if (errors.length > 0) throw invalidFields(errors.slice(0, maxErrors));
  return parsed;
}

/** @param root where the body stands: `''` where it is the whole, else such as `requests[3]` */
function readVerifyRequest(body: unknown, root: string, errors: FieldError[]): VerifyRequest {
  const request: VerifyRequest = { key: '', scopes: noScopes };
  if (!isObject(body)) {
    errors.push(notAnObject(root));
    return request;
  }
  let hasKey = false;
  for (const member in body) {
    const value = body[member];
    switch (member) {
      case 'key':
        hasKey = true;
        if (isText(value, 1, 512)) request.key = value;
        else
          errors.push({
            path: within(root, 'key'),
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
            path: within(root, member),
            message: 'must be a string of 1 to 512 characters',
            code: 'invalid_type',
          });
        break;
      case 'ip':
        if (value === null) break;
        if (typeof value === 'string' && isIP(value) !== 0) request.ip = value;
        else
          errors.push({
            path: within(root, 'ip'),
            message: 'must be an IPv4 or IPv6 address',
            code: 'invalid_format',
          });
        break;
      case 'environment':
        if (value === null) break;
        if (value === 'live' || value === 'sandbox') request.environment = value;
        else
          errors.push({
            path: within(root, 'environment'),
            message: 'must be "live" or "sandbox"',
            code: 'invalid_value',
          });
        break;
      case 'request_id':
        if (value === null) break;
        if (typeof value === 'string' && /^[\x21-\x7e]{1,128}$/.test(value)) request.request_id = value;
        else
          errors.push({
            path: within(root, 'request_id'),
            message: 'must be 1 to 128 printable ASCII characters',
            code: 'invalid_format',
          });
        break;
      case 'scopes':
        if (value === null) break;
        request.scopes = parseScopes(value, within(root, 'scopes'), errors);
        break;
      case 'cost':
        if (value === null) break;
        if (isCost(value)) request.cost = value;
        else errors.push(badCost(within(root, 'cost')));
        break;
      case 'limits':
        if (value === null) break;
        request.limits = parseLimits(value, within(root, 'limits'), errors);
        break;
      case 'explain':
        if (value === null) break;
        if (typeof value === 'boolean') request.explain = value;
        else
          errors.push({
            path: within(root, 'explain'),
            message: 'must be true or false',
            code: 'invalid_type',
          });
        break;
      default:
        addUnknownMember(member, root, requestMembers, errors);
    }
  }
  if (!hasKey) errors.push({ path: within(root, 'key'), message: 'is required', code: 'required' });
  return request;
}

function parseScopes(value: unknown, path: string, errors: FieldError[]): ScopeDemand {
  if (typeof value === 'string') {
    const parsed = parseScopeExpressionOnce(value);
    if (parsed.ok) return parsed.expression;
    errors.push({ path, message: parsed.message, code: 'invalid_format' });
    return noScopes;
  }
  if (!Array.isArray(value) || value.length > maxScopes) {
    const message = `must be an array of at most ${maxScopes} scopes, or an expression such as "a:read AND (b:read OR c:read)"`;
    errors.push({ path, message, code: 'invalid_type' });
    return noScopes;
  }
  value.forEach((scope, index) => {
    const parsed =
      typeof scope === 'string' ? parseScope(scope) : { ok: false as const, message: 'must be a string' };
    if (!parsed.ok)
      errors.push({ path: `${path}[${index}]`, message: parsed.message, code: 'invalid_format' });
  });
  return value as string[];
}

function parseLimits(value: unknown, path: string, errors: FieldError[]): readonly NamedCost[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > maxNamedLimits) {
    const message = `must be an array of 1 to ${maxNamedLimits} objects such as { "name": "tokens", "cost": 150 }`;
    errors.push({ path, message, code: 'invalid_type' });
    return [];
  }
  const named: NamedCost[] = [];
  for (const [index, entry] of value.entries()) {
    const at = `${path}[${index}]`;
    const { name, cost } = isObject(entry) ? entry : {};
    if (!isObject(entry)) errors.push(notAnObject(at));
    else
      for (const member in entry)
        if (member !== 'name' && member !== 'cost') addUnknownMember(member, at, ['name', 'cost'], errors);
    if (typeof name !== 'string' || !limitNamePattern.test(name))
      errors.push({ path: `${at}.name`, message: 'must be the name of a limit', code: 'invalid_format' });
    else if (named.some((other) => other.name === name))
      errors.push({ path: `${at}.name`, message: 'is named twice; add the costs up', code: 'duplicate' });
    else if (!isCost(cost)) errors.push(badCost(`${at}.cost`));
    else named.push({ name, cost });
  }
  return named;
}

function isCost(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxCost;
}

function badCost(path: string): FieldError {
  return { path, message: `must be a whole number from 0 to ${maxCost}`, code: 'invalid_value' };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function notAnObject(path: string): FieldError {
  return { path, message: 'must be a JSON object', code: 'invalid_type' };
}

function addUnknownMember(
  member: string,
  root: string,
  known: readonly string[],
  errors: FieldError[],
): void {
  // Names are compared for those that are told alone: a hostile body has thousands.
  if (errors.length >= maxErrors) return;
  const path = within(root, echoedName(member));
  errors.push({ path, message: unknownMemberMessage(member, known), code: 'unknown_member' });
}

function within(root: string, member: string): string {
  return root === '' ? member : `${root}.${member}`;
}

function isText(value: unknown, min: number, max: number): value is string {
  return typeof value === 'string' && value.length >= min && isAtMost(max, value) && isStorableText(value);
}

/** Characters are code points, as in JSON Schema; there are never more of them than of what `length` counts. */
function isAtMost(max: number, value: string): boolean {
  return value.length <= max || (value.length <= 2 * max && Array.from(value).length <= max);
}
