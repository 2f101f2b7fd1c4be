import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { DecisionCounters } from '../verification/decision-counters.ts';
import type { Freshness } from '../verification/freshness.ts';
import type { RecordCache } from '../verification/record-cache.ts';

interface Sources {
  counters: DecisionCounters;
  freshness: Freshness;
  cache: RecordCache;
  pools: readonly Record<'totalCount' | 'idleCount' | 'waitingCount', number>[];
}

/** The service's own figures for Prometheus, read from where they are kept when somebody asks. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Histogram<'method' | 'route' | 'status'>;

  constructor({ counters, freshness, cache, pools }: Sources) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Histogram({
      name: 'gatelodge_http_request_duration_seconds',
      help: 'Duration of requests of the management API.',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    });
    new Counter({
      name: 'gatelodge_decisions_total',
      help: 'Decisions about keys by endpoint and code.',
      labelNames: ['endpoint', 'code'],
      registers,
      collect() {
        this.reset();
        for (const { endpoint, code, count } of counters.read()) this.inc({ endpoint, code }, count);
      },
    });
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    gauge('gatelodge_cached_keys', 'Keys held in memory.', () => cache.size);
    gauge('gatelodge_cache_is_fresh', '1 while the keys in memory can be trusted.', () =>
      Number(freshness.isFresh()),
    );
    gauge(
      'gatelodge_stale_seconds',
      'For how long Postgres has been out of reach.',
      () => freshness.staleForMs / 1000,
    );
    const inAll = (member: keyof Sources['pools'][number]) => () =>
      pools.reduce((sum, pool) => sum + pool[member], 0);
    gauge('gatelodge_postgres_connections', 'Connections of the pools.', inAll('totalCount'));
    gauge(
      'gatelodge_postgres_idle_connections',
      'Connections of the pools that are free.',
      inAll('idleCount'),
    );
    gauge(
      'gatelodge_postgres_waiting_requests',
      'Requests that wait for a connection.',
      inAll('waitingCount'),
    );
  }

  /** One answered request of the management API. */
  observe(method: string, route: string, status: number, seconds: number): void {
    this.#requests.observe({ method, route, status: String(status) }, seconds);
  }

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  render(): Promise<string> {
    return this.#registry.metrics();
  }
}
