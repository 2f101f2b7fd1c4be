import { type SignInOptions, signIn } from '../protocol/sign-in.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

const locale = 'se';

/** Parameters that a provider need not act on, but that must do no harm (Core §15.1). */
export const displayPage = toleratedModule('oidcc-display-page', () => ({ parameters: { display: 'page' } }));
export const displayPopup = toleratedModule('oidcc-display-popup', () => ({
  parameters: { display: 'popup' },
}));
export const uiLocales = toleratedModule('oidcc-ui-locales', () => ({ parameters: { ui_locales: locale } }));
export const claimsLocales = toleratedModule('oidcc-claims-locales', () => ({
  parameters: { claims_locales: locale },
}));

export const loginHint = toleratedModule('oidcc-login-hint', (trial) => {
  const visitor = trial.suite.newVisitor();
  return { visitor, parameters: { login_hint: visitor.address } };
});

export const acrValues: ConformanceModule = {
  name: 'oidcc-ensure-request-with-acr-values-succeeds',
  shows: 'acr_values does no harm; a warning where the ID token names none of them',
  run: async (trial: Trial) => {
    const supported = trial.metadata.list('acr_values_supported') ?? [];
    const wanted = supported.length > 0 ? supported : ['1', '2'];
    const { claims } = await signIn(trial, { parameters: { acr_values: wanted.join(' ') } });
    trial.advise(
      typeof claims.acr === 'string' && wanted.includes(claims.acr),
      'acr of the ID token is none of the acr_values that were asked for (Core §3.1.2.1)',
    );
  },
};

function toleratedModule(name: string, options: (trial: Trial) => SignInOptions): ConformanceModule {
  const parameter = name
    .replace('oidcc-', '')
    .replace(/-(page|popup)$/, '=$1')
    .replaceAll('-', '_');
  return {
    name,
    shows: `${parameter} does no harm`,
    run: async (trial: Trial) => {
      await signIn(trial, options(trial));
    },
  };
}
