import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

/**
 * What is measured has one core and who measures has another, so that neither takes time from the other. Without taskset,
 * or with one core alone, everything runs where it likes.
 */
export const serverCore = '1';
const clientCore = '0';
export const everyCore = `0-${availableParallelism() - 1}`;

const canPin = availableParallelism() > 1 && spawnSync('taskset', ['--version']).status === 0;

/** Starts a program on these cores; what it starts stays there too. */
export function spawnOn(
  cores: string,
  command: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  return canPin
    ? spawn('taskset', ['-c', cores, command, ...args], options)
    : spawn(command, [...args], options);
}

/** Moves running processes, with all of their threads. One that ends meanwhile does not matter. */
export function moveTo(cores: string, pids: readonly number[]): void {
  if (!canPin) return;
  for (const pid of pids) spawnSync('taskset', ['-acp', cores, String(pid)]);
}

/** Moves this process to the client's core. */
export function moveClient(): void {
  moveTo(clientCore, [process.pid]);
}
