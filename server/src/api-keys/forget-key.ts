import type { Services } from '../services.ts';
import type { ApiKeyRow } from './api-key.ts';

/** For `afterCommit`: this node knows of the change when the call returns; the others learn it by notice. */
export function forgetKey(services: Services, row: Pick<ApiKeyRow, 'digest'>): void {
  services.cache.forget({ kind: 'api-key', digest: row.digest.toString('hex') });
}
