/**
 * Aborts on the first SIGTERM, SIGINT or SIGHUP; every later one is ignored.
 *
 * They come more than once as a matter of course: Ctrl-C goes to the whole process group, npm passes it on, and the
 * supervisor asks its server besides.
 */
export function stopSignal(): AbortController {
  const controller = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(name, () => controller.abort(new Error(`stopped by ${name}`)));
  }
  return controller;
}

/** Lets the process outlive the reader of its output: a closed terminal or pipe must not cut the drain short. */
export function surviveClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}
