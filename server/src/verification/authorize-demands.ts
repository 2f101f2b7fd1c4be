import { type Environment, environments, type KeyProfile } from '../key-profiles/key-profile.ts';
import { parseScope } from '../scopes/scope.ts';
import {
  bothDemands,
  parseScopeExpressionOnce,
  type ScopeDemand,
  type ScopeExpression,
} from '../scopes/scope-expression.ts';

/** What the gateway asks of the key, beyond being valid. */
export interface AuthorizeDemands {
  scopes: ScopeDemand;
  environment: Environment | undefined;
  /** nginx passes only 2xx, 401 and 403 from a check; with `nginx` a 429 is told another way. */
  status: 'nginx' | undefined;
}

/** A demand that can't be understood: refused, since passing over it would open the gate. */
export interface BadDemand {
  refusal: 'invalid_request';
  message: string;
}

const noDemands: AuthorizeDemands = { scopes: [], environment: undefined, status: undefined };

/** What tells an expression from a plain list: a parenthesis, or an operator standing alone. */
const expressionPattern = /[()]|(?:^|\s)(?:and|or)(?:\s|$)/i;

/**
 * Reads the query of a forward-auth request: `scope=` (a scope, several with spaces between, or an expression; repeated,
 * all of them), `environment=` (its name or the profile's label) and `status=nginx`.
 */
export function parseDemands(query: string, profile: KeyProfile): AuthorizeDemands | BadDemand {
  if (query === '') return noDemands;
  const scopes: string[] = [];
  const expressions: ScopeExpression[] = [];
  let environment: Environment | undefined;
  let status: 'nginx' | undefined;
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === 'scope' && expressionPattern.test(value)) {
      const parsed = parseScopeExpressionOnce(value);
      if (!parsed.ok) return { refusal: 'invalid_request', message: `scope: ${parsed.message}` };
      expressions.push(parsed.expression);
    } else if (name === 'scope') {
      const asked = value.split(' ').filter((scope) => scope !== '');
      const bad = asked.map((scope) => parseScope(scope)).find((parsed) => !parsed.ok);
      if (asked.length === 0 || bad !== undefined) {
        return {
          refusal: 'invalid_request',
          message: `scope: ${bad?.ok === false ? bad.message : 'name at least one'}`,
        };
      }
      scopes.push(...asked);
    } else if (name === 'environment') {
      const named = environmentNamed(value, profile);
      if (named === undefined)
        return { refusal: 'invalid_request', message: 'environment: use live or sandbox' };
      // A gateway that passes its caller's query along must not let the caller overrule it.
      if (environment !== undefined && environment !== named)
        return { refusal: 'invalid_request', message: 'environment: demand one of the two' };
      environment = named;
    } else if (name === 'status' && value === 'nginx') {
      status = 'nginx';
    } else {
      // A misspelt demand that is passed over would open the gate.
      return {
        refusal: 'invalid_request',
        message: 'query: it may have scope, environment and status=nginx; remove everything else',
      };
    }
  }
  return { scopes: bothDemands(scopes, expressions), environment, status };
}

/** The names come first, over both: whatever a profile calls its environments, `live` demands a live key. */
function environmentNamed(value: string, profile: KeyProfile): Environment | undefined {
  const lower = value.toLowerCase();
  return (
    environments.find((candidate) => candidate === value) ??
    environments.find((candidate) => profile.environments[candidate].label.toLowerCase() === lower)
  );
}
