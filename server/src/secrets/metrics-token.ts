import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Settings } from '../settings.ts';
import { createSecretFile } from './secret-file.ts';

/**
 * The bearer token of `GET /metrics`: GATELODGE_METRICS_TOKEN, else, in development, one generated into
 * `{data directory}/metrics-token`. Undefined means that there is no such page: in production nothing is made up that
 * several nodes would each have differently.
 *
 * @throws SecretFileError when the file cannot be read or written.
 */
export async function resolveMetricsToken(
  settings: Pick<Settings, 'mode' | 'dataDir'> & Partial<Pick<Settings, 'metricsToken'>>,
): Promise<string | undefined> {
  if (settings.metricsToken !== undefined) return settings.metricsToken;
  if (settings.mode === 'production') return undefined;
  return createSecretFile(join(settings.dataDir, 'metrics-token'), randomBytes(32).toString('hex'));
}
