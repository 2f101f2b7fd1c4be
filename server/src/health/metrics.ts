import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Metering } from '../ledger/metering.ts';
import type { Mailing } from '../mail/mailing.ts';
import type { OutboundClient } from '../outbound/outbound-client.ts';
import type { DecisionCounters } from '../verification/decision-counters.ts';
import type { Freshness } from '../verification/freshness.ts';
import type { ImportedKeys } from '../verification/imported-keys.ts';
import type { RecordCache } from '../verification/record-cache.ts';
import { processMetrics } from './process-metrics.ts';

interface Sources {
  counters: DecisionCounters;
  freshness: Freshness;
  cache: RecordCache;
  imported: ImportedKeys;
  exposures: { readonly dropped: number };
  reportLeak: { readonly counts: Readonly<Record<'queued' | 'capped', number>> };
  mail: Pick<Mailing, 'delivery' | 'waiting'>;
  outbound: Pick<OutboundClient, 'counts' | 'underWay'>;
  metering: Pick<Metering, 'ledger' | 'fold' | 'findings'>;
  pools: readonly Record<'totalCount' | 'idleCount' | 'waitingCount', number>[];
}

/** The service's own figures for Prometheus, read from where they are kept when somebody asks. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Histogram<'method' | 'route' | 'status'>;

  constructor(sources: Sources) {
    const { counters, freshness, cache, imported, exposures, reportLeak, metering, pools } = sources;
    const { mail, outbound } = sources;
    const registers = [this.#registry];
    processMetrics();
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
    new Counter({
      name: 'gatelodge_imported_key_filter_total',
      help: 'Answers of the filter of imported keys. negative: no look-up; unready: a look-up in vain, made because the filter was not ready.',
      labelNames: ['answer'],
      registers,
      collect() {
        this.reset();
        for (const [answer, count] of Object.entries(imported.answers)) this.inc({ answer }, count);
      },
    });
    new Counter({
      name: 'gatelodge_leak_reports_total',
      help: 'Leak reports by what became of them. capped: dropped, since their address sent too many.',
      labelNames: ['outcome'],
      registers,
      collect() {
        this.reset();
        for (const [outcome, count] of Object.entries(reportLeak.counts)) this.inc({ outcome }, count);
      },
    });
    new Counter({
      name: 'gatelodge_exposures_dropped_total',
      help: 'Secret keys seen in browsers whose owners were not told, for want of room or by a failure.',
      registers,
      collect() {
        this.reset();
        this.inc(exposures.dropped);
      },
    });
    new Counter({
      name: 'gatelodge_ledger_records_total',
      help: 'Decisions by whether they came to be on record. refused: answered 503.',
      labelNames: ['outcome'],
      registers,
      collect() {
        this.reset();
        for (const [outcome, count] of Object.entries(metering.ledger.counts)) this.inc({ outcome }, count);
      },
    });
    new Counter({
      name: 'gatelodge_mails_total',
      help: 'Mails by what became of them at each attempt. deferred: to be tried again; failed and expired: given up, as an event tells.',
      labelNames: ['outcome'],
      registers,
      collect() {
        this.reset();
        for (const [outcome, count] of Object.entries(mail.delivery.counts)) this.inc({ outcome }, count);
      },
    });
    new Counter({
      name: 'gatelodge_outbound_calls_total',
      help: 'Calls of URLs that others chose by how they ended. blocked_url, blocked_address: never made; busy: not made for want of room; abandoned: given up by who made them.',
      labelNames: ['outcome'],
      registers,
      collect() {
        this.reset();
        for (const [outcome, count] of Object.entries(outbound.counts)) this.inc({ outcome }, count);
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
    gauge('gatelodge_imported_keys', 'Imported keys that the filter knows of.', () => imported.size);
    gauge('gatelodge_cache_is_fresh', '1 while the keys in memory can be trusted.', () =>
      Number(freshness.isFresh()),
    );
    gauge(
      'gatelodge_stale_seconds',
      'For how long Postgres has been out of reach.',
      () => freshness.staleForMs / 1000,
    );
    gauge('gatelodge_ledger_is_writable', '1 while decisions can be put on record.', () =>
      Number(metering.ledger.state.kind === 'writable'),
    );
    gauge(
      'gatelodge_ledger_findings',
      'How much is wrong with the ledger’s files that somebody has to look at (gatelodge ledger check).',
      () => metering.findings.count,
    );
    gauge(
      'gatelodge_fold_lag_records',
      'Decisions on record that usage does not tell of yet.',
      () => metering.fold.lag.records,
    );
    gauge('gatelodge_fold_lag_bytes', 'The same in bytes.', () => metering.fold.lag.bytes);
    gauge(
      'gatelodge_fold_lag_seconds',
      'Usage tells of all decisions that are older.',
      () => metering.fold.lag.seconds,
    );
    gauge(
      'gatelodge_mails_waiting',
      'Mails of the whole installation that wait to be handed to the mail server, as of the last 15 seconds.',
      () => mail.waiting.count,
    );
    gauge(
      'gatelodge_mails_oldest_waiting_seconds',
      'How long the first of them has waited.',
      () => mail.waiting.oldestSeconds,
    );
    gauge(
      'gatelodge_outbound_calls_under_way',
      'Calls of URLs that others chose that are being made.',
      () => outbound.underWay,
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
    return Registry.merge([processMetrics(), this.#registry]).metrics();
  }
}
