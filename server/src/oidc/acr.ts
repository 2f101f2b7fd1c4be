import { errors } from 'oidc-provider';

/**
 * The way to sign in by a code that was mailed to the user, as an `acr` (OpenID Connect Core 1.0 §2); no registered name
 * says that.
 */
export const mailedCodeAcr = 'urn:gatelodge:acr:mailed-code';

/** Every way that there is. */
export const acrValues: readonly string[] = [mailedCodeAcr];

/**
 * What a client can't do without and nobody can have is refused at once (Core §5.5.1.1): the library would have the user
 * sign in again and again.
 *
 * @param acr the member of that name in `id_token` of the `claims` parameter
 * @throws the library's errors
 */
export function requirePossibleAcr(acr: unknown): void {
  if (typeof acr !== 'object' || acr === null) return;
  const { essential, value, values } = acr as { essential?: unknown; value?: unknown; values?: unknown };
  if (values !== undefined && !Array.isArray(values))
    throw new errors.InvalidRequest('values of acr in claims must be an array');
  if (essential !== true) return;
  const isPossible =
    (value === undefined || acrValues.includes(value as string)) &&
    (values === undefined || values.some((each) => acrValues.includes(each)));
  if (!isPossible)
    throw new errors.UnmetAuthenticationRequirements('no sign-in has an acr that is asked for');
}
