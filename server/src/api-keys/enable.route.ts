import { defineStatusRoutes } from './set-status.ts';

export const enableApiKeyRoutes = defineStatusRoutes({
  verb: 'enable',
  status: 'active',
  event: 'api-key.enabled',
  summary: 'Enable a disabled API key',
});
