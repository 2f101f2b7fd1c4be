import type { ErrorCode } from '../errors.ts';
import type { ContractOnlyRoute, Route } from '../http/route.ts';
import { isOpenToSupport } from '../support-grants/support-access.ts';

/** A route with a handler. */
export type ManagementRoute = Exclude<Route, ContractOnlyRoute>;

/** What goes wrong before anybody looks at the route, and what can go wrong anywhere. */
const errorsOfEvery: readonly ErrorCode[] = [
  'bad_request',
  'headers_too_large',
  'https_required',
  'internal_error',
  'request_timeout',
  'unavailable',
];

const errorsOfManagement: readonly ErrorCode[] = [
  'missing_key',
  'invalid_key',
  'revoked_key',
  'expired_key',
  'disabled_key',
  'ambiguous_credentials',
  'account_suspended',
  'issuer_suspended',
  'tenant_suspended',
  'origin_not_allowed',
  'ip_not_allowed',
  'secret_key_in_browser',
  'permission_denied',
  'invalid_request',
];

const errorsOfBodies: readonly ErrorCode[] = ['malformed_json', 'body_too_large', 'unsupported_media_type'];

/** Every code that a route may answer. */
export function errorCodesOf(route: Route): ReadonlySet<ErrorCode> {
  return new Set<ErrorCode>([
    ...errorsOfEvery,
    ...(route.path.includes('{') ? (['not_found'] as const) : []),
    ...(route.handler === null ? errorsOfContract(route) : errorsOfHandled(route)),
    ...(route.errors ?? []),
  ]);
}

function errorsOfContract(route: ContractOnlyRoute): readonly ErrorCode[] {
  return route.body === undefined || route.isForm ? [] : errorsOfBodies;
}

function errorsOfHandled(route: ManagementRoute): readonly ErrorCode[] {
  return [
    ...errorsOfManagement,
    ...(route.method === 'GET' ? [] : errorsOfBodies),
    // The account that X-Gatelodge-Account names.
    ...(isOpenToSupport(route) ? (['not_found'] as const) : []),
    ...(route.creates ? (['idempotency_in_flight', 'idempotency_mismatch'] as const) : []),
    ...(takesIfMatch(route) ? (['precondition_failed'] as const) : []),
  ];
}

/** Whatever changes an object that is there already, also where it makes another beside it (rotation). */
export function takesIfMatch(route: ManagementRoute): boolean {
  return route.method !== 'GET' && (route.creates !== true || route.path.includes('{key_id}'));
}
