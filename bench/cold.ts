import { serverCore } from './cores.ts';
import { Gatelodge } from './gatelodge.ts';
import { stockIssuer } from './issuers.ts';
import { sendEach } from './load.ts';
import type { BenchOptions } from './options.ts';
import { Helper } from './processes.ts';
import { postJson, verifyEndpoint } from './requests.ts';
import { record } from './results.ts';
import { median, round2 } from './statistics.ts';

/** Medians of one round, in milliseconds. */
interface Round {
  cold: number;
  warm: number;
  select: number;
  selectOverHttp: number;
}

/**
 * The first verification of a key, which has to be read, against one SELECT by primary key over the same driver. One
 * request at a time: this is about how long one takes, not how many there can be.
 */
export async function benchCold(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  const { rounds } = options.pace;
  const samples = options.isQuick ? 100 : 500;
  const needed = (rounds + 1) * samples;
  const gatelodge = cleanup.use(await Gatelodge.start());
  const { secrets } = await stockIssuer(gatelodge, { keys: options.keys, hot: needed, organizations: 1_000 });
  const ids = await someIds(gatelodge, needed);
  const selects = cleanup.use(
    await Helper.start('./select-server.ts', [], { DATABASE_URL: gatelodge.postgres.url() }),
  );
  await gatelodge.postgres.useCores(serverCore);

  const measured: Round[] = [];
  for (let index = 0; index <= rounds; index++) {
    const part = <T>(all: T[]) => all.slice(index * samples, (index + 1) * samples);
    const round = await measureRound(gatelodge, part(secrets), selects, part(ids));
    // The first is for the connections, plans and compiled code of both.
    if (index > 0) measured.push(round);
  }
  const of = (pick: (round: Round) => number) => round2(median(measured.map(pick)));
  record('cold', options, {
    'Medians of one at a time': [
      { what: 'first verification of a key', ms: of((round) => round.cold) },
      { what: 'second verification of the key', ms: of((round) => round.warm) },
      { what: 'SELECT by primary key', ms: of((round) => round.select) },
      { what: 'the same behind a bare node:http server', ms: of((round) => round.selectOverHttp) },
    ],
    'First verification': [
      { against: 'SELECT by primary key', ratio: of((round) => round.cold / round.select) },
      { against: 'SELECT behind a bare server', ratio: of((round) => round.cold / round.selectOverHttp) },
      {
        against: 'SELECT; what the first takes longer than the second',
        ratio: of((round) => (round.cold - round.warm) / round.select),
      },
    ],
  });
}

async function measureRound(
  gatelodge: Gatelodge,
  secrets: string[],
  selects: Helper,
  ids: string[],
): Promise<Round> {
  const endpoint = verifyEndpoint(gatelodge);
  const requests = secrets.map(endpoint.request);
  const reads = ids.map((id) => postJson('/', { id }));
  const cold = await sendEach(gatelodge.port, requests, endpoint.valid, { connections: 1 });
  const read = await sendEach(selects.port, reads, { status: 200, text: '"digest"' }, { connections: 1 });
  const select = median(await selects.ask<number[]>({}));
  const warm = await sendEach(gatelodge.port, requests, endpoint.valid, { connections: 1 });
  return { cold: cold.p50Ms, warm: warm.p50Ms, select, selectOverHttp: read.p50Ms };
}

/** Ids of stored keys from all over the table, as the keys that are verified are. */
async function someIds(gatelodge: Gatelodge, count: number): Promise<string[]> {
  const rows = await gatelodge.postgres.query<{ id: string }>(
    'select id from gatelodge.api_keys order by random() limit $1',
    [count],
  );
  return rows.map(({ id }) => id);
}
