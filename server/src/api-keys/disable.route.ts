import { defineStatusRoutes } from './set-status.ts';

export const disableApiKeyRoutes = defineStatusRoutes({
  verb: 'disable',
  status: 'disabled',
  event: 'api-key.disabled',
  summary: 'Disable an API key until it is enabled again',
});
