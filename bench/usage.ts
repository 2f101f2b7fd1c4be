import { Gatelodge } from './gatelodge.ts';
import type { BenchOptions } from './options.ts';
import { type Row, record } from './results.ts';
import { median, round2 } from './statistics.ts';

const days = 30;
const hours = days * 24;
/** Of which the export tells; more of them take longer and show nothing more. */
const exportedHours = 5 * 24;
/** In each hour each key passes six times and is refused once. */
const decisionsAnHour = 7;
const keysOfTenant = 4;
const tenantsOfIssuer = 50;

/**
 * Usage over ten million decisions of thirty days: how long one answer takes, by day, by group and in the depth of a
 * list, and what an export takes of the server's memory.
 */
export async function benchUsage(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  const keys = options.isQuick ? 50 : 2_000;
  const gatelodge = cleanup.use(await Gatelodge.start());
  await meter(gatelodge, keys);
  const usage = new UsageClient(gatelodge);
  record('usage', options, {
    'What there is': await contents(gatelodge, keys),
    'One answer at a time': await answers(usage, options),
    'Export of each key’s hours': await exported(usage, keys),
  });
}

/**
 * Puts the decisions into the tables as a fold does, at every level, by hour and by day. The keys, tenants and issuers
 * are only named there: usage asks for no more.
 */
async function meter(gatelodge: Gatelodge, keys: number): Promise<void> {
  const { postgres } = gatelodge;
  const [operator] = await postgres.query<{ id: string }>('select id from accounts where is_operator');
  const columns = `account_id, level, subject_id, grain, start_at, environment, issuer_id, organization_id, code, count,
    cost`;
  const keysOfIssuer = keysOfTenant * tenantsOfIssuer;
  await postgres.query(
    `insert into usage_buckets (${columns})
     select $1, 'key', 'key_' || lpad(k::text, 25, '0'), 'hour',
       date_trunc('hour', now(), 'UTC') - make_interval(hours => h), 'live',
       'i_' || lpad((k / ${keysOfIssuer})::text, 25, '0'), 'org_' || lpad((k / ${keysOfTenant})::text, 25, '0'), code, n, n
     from generate_series(0, ${keys - 1}) as k cross join generate_series(0, ${hours - 1}) as h
     cross join lateral (values ('VALID', ${decisionsAnHour - 1}),
       ((array['RATE_LIMITED', 'EXPIRED', 'INSUFFICIENT_SCOPE', 'IP_NOT_ALLOWED'])[1 + (k + h) % 4], 1)) as c (code, n)`,
    [operator!.id],
  );
  for (const [level, subject, issuer] of [
    ['organization', 'organization_id', 'issuer_id'],
    ['issuer', 'issuer_id', "''"],
    ['account', 'account_id', "''"],
  ])
    await postgres.query(
      `insert into usage_buckets (${columns})
       select account_id, '${level}', ${subject}, grain, start_at, environment, ${issuer}, '', code, sum(count), sum(cost)
       from usage_buckets where level = 'key' group by 1, 2, 3, 4, 5, 6, 7, 8, 9`,
    );
  await postgres.query(
    `insert into usage_buckets (${columns})
     select account_id, level, subject_id, 'day', date_trunc('day', start_at, 'UTC'), environment, issuer_id,
       organization_id, code, sum(count), sum(cost)
     from usage_buckets where grain = 'hour' group by 1, 2, 3, 4, 5, 6, 7, 8, 9`,
  );
  await postgres.query('vacuum analyze usage_buckets');
}

async function contents({ postgres }: Gatelodge, keys: number): Promise<Row[]> {
  const [stored] = await postgres.query<{ rows: string; megabytes: string }>(
    `select count(*) as rows, pg_total_relation_size('usage_buckets') / 1000000 as megabytes from usage_buckets`,
  );
  return [
    {
      decisions: keys * hours * decisionsAnHour,
      keys,
      rows: Number(stored!.rows),
      'MB with indexes': Number(stored!.megabytes),
    },
  ];
}

async function answers(usage: UsageClient, { isQuick, pace }: BenchOptions): Promise<Row[]> {
  const deep = isQuick ? 5 : 100;
  const cases: [what: string, query: string][] = [
    ['30 days by day', ''],
    ['24 hours by hour', 'interval=hour'],
    ['12 months', 'interval=month'],
    ['by day and code', 'group_by=code'],
    ['by day and tenant, first page', 'group_by=organization'],
    ['by day and key, first page', 'group_by=key'],
    [`by day and key, page ${deep}`, await usage.pageAt('group_by=key', deep)],
    ['by month and key, first page', 'group_by=key&interval=month'],
    ['one tenant by day', `organization_id=org_${'0'.repeat(24)}7`],
    ['one issuer by day and key, first page', `group_by=key&issuer_id=i_${'0'.repeat(25)}`],
  ];
  const rows: Row[] = [];
  for (const [what, query] of cases) {
    const rounds: number[] = [];
    for (let round = 0; round <= pace.rounds; round++) {
      const medianMs = await usage.ask(query, pace.roundSeconds);
      // The first is for the connection, plans and compiled code.
      if (round > 0) rounds.push(medianMs);
    }
    rows.push({ what, ms: round2(median(rounds)) });
  }
  return rows;
}

/** Reads it as fast as it comes and looks at the server’s memory each tenth of the way. */
async function exported(usage: UsageClient, keys: number): Promise<Row[]> {
  const rows: Row[] = [{ lines: 0, 'resident MB': await usage.residentMegabytes(), 'lines a second': 0 }];
  const expected = keys * exportedHours;
  const startedAt = performance.now();
  let lines = 0;
  for await (const count of usage.exportLines()) {
    const tenths = Math.floor((lines * 10) / expected);
    lines += count;
    if (Math.floor((lines * 10) / expected) === tenths) continue;
    rows.push({
      lines,
      'resident MB': await usage.residentMegabytes(),
      'lines a second': Math.round(lines / ((performance.now() - startedAt) / 1000)),
    });
  }
  return rows;
}

/** Reads usage as the operator. */
class UsageClient {
  readonly #gatelodge: Gatelodge;

  constructor(gatelodge: Gatelodge) {
    this.#gatelodge = gatelodge;
  }

  /** The median of the same query again and again, one at a time, in milliseconds. */
  async ask(query: string, seconds: number): Promise<number> {
    const latencies: number[] = [];
    const endsAt = performance.now() + seconds * 1000;
    do {
      const askedAt = performance.now();
      const answer = await this.#get(`/v1/usage?${query}`);
      const { data } = (await answer.json()) as { data: unknown[] };
      if (data.length === 0) throw new Error(`nothing was answered to ${query}`);
      latencies.push(performance.now() - askedAt);
    } while (performance.now() < endsAt);
    return median(latencies);
  }

  /** The query of that page of a list. */
  async pageAt(query: string, page: number): Promise<string> {
    let cursor = '';
    for (let at = 1; at < page; at++) {
      const answer = await this.#get(`/v1/usage?${query}${cursor}`);
      const { next_cursor: next } = (await answer.json()) as { next_cursor: string | null };
      if (next === null) throw new Error(`${query} has no page ${page}`);
      cursor = `&cursor=${next}`;
    }
    return `${query}${cursor}`;
  }

  /** How many lines each part of the export has. */
  async *exportLines(): AsyncGenerator<number> {
    const from = new Date(Date.now() - (exportedHours - 1) * 3_600_000).toISOString();
    const answer = await this.#get(`/v1/usage/export.csv?group_by=key&interval=hour&from=${from}`);
    for await (const chunk of answer.body!) {
      let count = 0;
      for (const byte of chunk) if (byte === 10) count++;
      yield count;
    }
  }

  async residentMegabytes(): Promise<number> {
    return round2((await this.#gatelodge.metric('process_resident_memory_bytes')) / 1e6);
  }

  async #get(path: string): Promise<Response> {
    const { port, authorization } = this.#gatelodge;
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { Authorization: authorization },
    });
    if (!answer.ok) throw new Error(`GET ${path} answered ${answer.status}: ${await answer.text()}`);
    return answer;
  }
}
