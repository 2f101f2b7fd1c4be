import { expect } from 'vitest';
import { type Ended, GatelodgeProcess } from '../harness/process.ts';

/**
 * Runs a command that has to fail for a reason that the operator can mend: with one of the exit codes that tell so
 * (78: change something; 69: something outside is in the way), in words and without a stack.
 */
export async function failsToStart(
  env: NodeJS.ProcessEnv,
  options: { code: 78 | 69; command?: 'start' | 'serve' },
): Promise<Ended> {
  await using process = GatelodgeProcess.run([options.command ?? 'start'], {
    env: { GATELODGE_LOG_LEVEL: 'warn', ...env },
  });
  const ended = await process.ended;
  expect(ended.stderr).not.toMatch(/^ {4}at /m);
  expect({ code: ended.code, stderr: ended.stderr }).toMatchObject({ code: options.code });
  return ended;
}

/** Runs `start`, which has to succeed, and stops it again. */
export async function startsAndStops(env: NodeJS.ProcessEnv): Promise<void> {
  await using process = GatelodgeProcess.run(['start'], { env: { GATELODGE_LOG_LEVEL: 'error', ...env } });
  await process.becomesReady();
  process.child.kill('SIGTERM');
  expect((await process.ended).code).toBe(0);
}
