import { loadSettings, type Settings } from '../settings.ts';
import { StartError, systemErrorCode } from './start-error.ts';

/**
 * Reads `.env` of the working directory into the environment, where there is one (variables already set win), and the
 * settings from the environment.
 *
 * @throws {StartError} when a setting is malformed or unsafe, or `.env` can't be read
 */
export function readSettings(options: { withEnvironmentFile: boolean }): Settings {
  if (options.withEnvironmentFile) loadEnvironmentFile();
  return loadSettings(process.env);
}

function loadEnvironmentFile(): void {
  try {
    process.loadEnvFile('.env');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    throw new StartError(`.env can't be read: ${error instanceof Error ? error.message : String(error)}`, {
      hint: 'Make it a file that the user running Gatelodge may read, or remove it.',
      cause: error,
    });
  }
}
