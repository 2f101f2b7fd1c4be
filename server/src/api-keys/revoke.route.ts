import { defineStatusRoutes } from './set-status.ts';

export const revokeApiKeyRoutes = defineStatusRoutes({
  verb: 'revoke',
  status: 'revoked',
  event: 'api-key.revoked',
  summary: 'Revoke an API key, at once and for good',
});
