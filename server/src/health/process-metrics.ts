import { collectDefaultMetrics, Registry } from 'prom-client';

let registry: Registry | undefined;

/**
 * Figures of the process and its garbage collection. One registry for the whole process, however many services it runs or has
 * run: what watches the garbage collector is never taken down, and would hold on to all that its registry tells of.
 */
export function processMetrics(): Registry {
  if (registry === undefined) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
  }
  return registry;
}
