import type { Principal } from '../authentication/principal.ts';
import { AppError, type FieldError, invalidFields } from '../errors.ts';
import type { Environment, KeyKind } from '../key-profiles/key-profile.ts';
import { ceilingViolations, isReservedScope, permissionsOfAccount } from '../scopes/scope.ts';
import type { ApiKeyRow } from './api-key.ts';
import { areRangesWithin } from './ip-ranges.ts';
import { isLoosened, type KeyPower } from './loosening.ts';

/** Where a key stands: its issuer's side of the rules, or the account's where there is no issuer. */
export interface KeyPlace {
  accountId: string;
  issuer: { id: string; environment: Environment; publishableScopes: readonly string[] } | null;
  organizationId: string | null;
}

/** A key as it is about to be. `scopes` null: every permission of the account. */
export interface KeyFacts {
  kind: KeyKind;
  environment: Environment;
  scopes: readonly string[] | null;
  expiresAt: Date | null;
}

/**
 * Holds the rules that no single member can break.
 *
 * @throws invalid_request (422) with every rule that is broken
 */
export function checkKey(place: KeyPlace, key: KeyFacts, now: Date): void {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string, code: string) => errors.push({ path, message, code });
  if (key.expiresAt !== null && key.expiresAt <= now) {
    refuse('expires_at', 'lies in the past; give a later instant, or null for none', 'in_the_past');
  }
  if (place.issuer?.environment === 'sandbox' && key.environment === 'live') {
    refuse(
      'environment',
      'a sandbox issuer has sandbox keys only; leave it out or use "sandbox"',
      'wrong_environment',
    );
  }
  if (key.kind === 'publishable') checkPublishable(place, key, refuse);
  if (errors.length > 0) throw invalidFields(errors);
}

function checkPublishable(
  place: KeyPlace,
  key: KeyFacts,
  refuse: (path: string, message: string, code: string) => void,
) {
  if (place.issuer === null) {
    refuse(
      'kind',
      'keys of an account manage it and are always secret; make the key on an issuer',
      'not_publishable',
    );
    return;
  }
  const { publishableScopes } = place.issuer;
  key.scopes?.forEach((scope, index) => {
    if (isReservedScope(scope)) {
      refuse(
        `restrictions.scopes[${index}]`,
        'a publishable key can never call the management API; remove it',
        'not_publishable',
      );
    } else if (!publishableScopes.includes(scope)) {
      const fix = 'add it to the publishable_scopes of the issuer first, or make a secret key';
      refuse(
        `restrictions.scopes[${index}]`,
        `"${scope}" is not marked publishable; ${fix}`,
        'not_publishable',
      );
    }
  });
}

/**
 * Whoever gives a key power has to hold all that the key may do then: a key that was put out of use is as good as a
 * new one to whoever can put it back. What takes power away, or none, is free.
 *
 * @param after the key as it is about to be; `isRevived` where it could not be used at all before
 * @throws permission_denied (403), also where a key would loosen itself or another of its line, with which it shares
 *   its limits: then its restrictions would be none
 */
export function checkChange(
  principal: Principal,
  before: ApiKeyRow,
  after: KeyPower,
  { isRevived }: { isRevived: boolean },
): void {
  const isLooser = isLoosened(before, after);
  if (!isRevived && !isLooser) return;
  checkGrant(principal, after);
  const isOfItsLine = principal.lineageId === (before.lineage_id ?? before.id);
  if (principal.keyId !== before.id && !(isLooser && isOfItsLine)) return;
  throw new AppError('permission_denied', {
    detail:
      'A key can’t loosen its own restrictions, scopes, limits or expiry, nor those of a key that it was rotated from or to; use another key to do it.',
  });
}

/**
 * What `checkCeiling` says, and that power over Gatelodge itself stays within the bounds of who passes it on: a key
 * that works for a day, or from one network, must not make one that works for ever or from anywhere. Keys that hold
 * product scopes alone are the account's own affair: a backend that is bound to its network makes keys for tenants.
 *
 * @param power what the key is about to be able to do
 * @throws permission_denied (403) that names the scopes, or the bound and how to stay within it
 */
export function checkGrant(
  principal: Principal,
  { scopes, expires_at, ips }: Pick<KeyPower, 'scopes' | 'expires_at' | 'ips'>,
): void {
  checkCeiling(principal, scopes);
  if (scopes !== null && !scopes.some(isReservedScope)) return;
  const { bounds } = principal;
  if (bounds.expiresAt !== null && (expires_at === null || expires_at > bounds.expiresAt)) {
    throw new AppError('permission_denied', {
      detail: `A key with permissions in Gatelodge can't outlive the key that gives them; set expires_at to ${bounds.expiresAt.toISOString()} or earlier.`,
    });
  }
  if (!areRangesWithin(bounds.ips, ips)) {
    throw new AppError('permission_denied', {
      detail:
        'A key with permissions in Gatelodge can’t be used from more addresses than the key that gives them; set restrictions.ips to a part of yours.',
    });
  }
}

/**
 * Nobody grants a management permission beyond what they hold; product scopes are the account's own words.
 *
 * @param scopes what is being granted; null grants every permission of the account
 * @throws permission_denied (403) that names the scopes
 */
export function checkCeiling(principal: Principal, scopes: readonly string[] | null): void {
  const held = principal.permissions === 'all' ? permissionsOfAccount(principal) : principal.permissions;
  if (scopes === null) {
    if (principal.permissions === 'all') return;
    throw new AppError('permission_denied', {
      detail: 'Only a key with every permission may grant every permission; name the scopes of the new key.',
    });
  }
  const violations = ceilingViolations(scopes, held);
  if (violations.length === 0) return;
  throw new AppError('permission_denied', {
    detail: `You can't grant what you don't hold: ${violations.join(', ')}.`,
  });
}
