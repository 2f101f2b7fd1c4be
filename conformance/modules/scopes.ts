import { signIn } from '../protocol/sign-in.ts';
import { type ClaimsScope, claimsOfScope } from '../protocol/standard-claims.ts';
import { askForUserinfo, userinfoFrom } from '../protocol/userinfo.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

export const scopeProfile = scopeModule('oidcc-scope-profile', ['profile']);
export const scopeEmail = scopeModule('oidcc-scope-email', ['email']);
export const scopeAddress = scopeModule('oidcc-scope-address', ['address']);
export const scopePhone = scopeModule('oidcc-scope-phone', ['phone']);
export const scopeAll = scopeModule('oidcc-scope-all', ['address', 'email', 'phone', 'profile']);

export const claimsEssential: ConformanceModule = {
  name: 'oidcc-claims-essential',
  shows:
    'a claims parameter that wants the name from UserInfo does no harm, and is honoured (else a warning)',
  run: async (trial: Trial) => {
    const claimsParameter = JSON.stringify({ userinfo: { name: { essential: true } } });
    const { tokens, claims } = await signIn(trial, { parameters: { claims: claimsParameter } });
    const userinfo = userinfoFrom(trial, await askForUserinfo(trial, tokens.accessToken), claims.sub);
    trial.advise(userinfo.name !== undefined, 'UserInfo has no name, though it is essential (Core §5.5)');
    trial.advise(
      claims.name === undefined,
      'the ID token has a name that was wanted from UserInfo (Core §5.5)',
    );
  },
};

/**
 * The original warns of every claim of the scope that is missing. Here it is those that `claims_supported` promises: a
 * provider that says it knows no middle names withholds nothing.
 */
function scopeModule(name: string, scopes: readonly ClaimsScope[]): ConformanceModule {
  return {
    name,
    shows: `UserInfo tells the claims of scope ${scopes.join(' ')} that claims_supported promises (else a warning)`,
    run: async (trial: Trial) => {
      const supported = trial.metadata.list('scopes_supported');
      const unsupported = scopes.filter((scope) => supported !== undefined && !supported.includes(scope));
      if (unsupported.length > 0) trial.skip(`scopes_supported lacks ${unsupported.join(', ')}`);
      const { tokens, claims } = await signIn(trial, { parameters: { scope: `openid ${scopes.join(' ')}` } });
      const userinfo = userinfoFrom(trial, await askForUserinfo(trial, tokens.accessToken), claims.sub);
      const missing = promised(trial, scopes).filter((claim) => userinfo[claim] === undefined);
      trial.advise(
        missing.length === 0,
        `UserInfo lacks ${missing.join(', ')} of what the scope asks for (Core §5.4)`,
      );
    },
  };
}

function promised(trial: Trial, scopes: readonly ClaimsScope[]): readonly string[] {
  const claims = scopes.flatMap((scope): readonly string[] => claimsOfScope[scope]);
  const supported = trial.metadata.list('claims_supported');
  return supported === undefined ? claims : claims.filter((claim) => supported.includes(claim));
}
