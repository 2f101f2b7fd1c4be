import type { RuntimeRoute } from '../edge/runtime-routes.ts';
import type { Interactions } from '../oidc/interactions.ts';
import type { CodeSignIn } from '../otp/code-sign-in.ts';
import type { RequestOtp } from '../otp/request-otp.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { Settings } from '../settings.ts';
import { AssetsEndpoint, assetsPath } from './assets.ts';
import { ConsentStep } from './consent-step.ts';
import type { ErrorPages } from './error-pages.ts';
import { FlowStates } from './flow-state.ts';
import { LoginEndpoint, loginPath } from './login-endpoint.ts';
import { OrganizationStep } from './organization-step.ts';
import { SignInStep } from './sign-in-step.ts';

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  secrets: InstallationSecrets;
  interactions: Interactions;
  requestOtp: RequestOtp;
  codes: CodeSignIn;
  errorPages: ErrorPages;
  hasDevMailbox: boolean;
  nowMs: () => number;
}

/** Where the hosted login of every issuer is answered. */
export function loginRoutes(deps: Dependencies): readonly RuntimeRoute[] {
  const { settings, secrets, interactions, errorPages, hasDevMailbox, nowMs } = deps;
  const pages = new LoginEndpoint({
    settings,
    interactions,
    errorPages,
    hasDevMailbox,
    states: new FlowStates(secrets, nowMs),
    steps: {
      login: new SignInStep(deps),
      organization: new OrganizationStep(interactions),
      consent: new ConsentStep(interactions),
    },
  });
  return [
    { path: `${loginPath}/*`, issuer: 'required', methods: { GET: pages, POST: pages } },
    { path: `${assetsPath}/*`, issuer: 'required', methods: { GET: new AssetsEndpoint() } },
  ];
}
