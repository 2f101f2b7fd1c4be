/** How a process ended, as node:child_process tells it. */
export type Exit = { code: number | null; signal: NodeJS.Signals | null };

/** The same as members of a log line. */
export function exitMembers({ code, signal }: Exit): object {
  return { exit_code: code ?? undefined, signal: signal ?? undefined };
}
