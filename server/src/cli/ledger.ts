import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type pg from 'pg';
import { idPrefixes } from '../ids/ids.ts';
import { readPositions, readUnfinished } from '../ledger/fold-store.ts';
import { idHex } from '../ledger/id-hex.ts';
import {
  checkLedger,
  type LedgerReport,
  type SegmentReport,
  type StoredPositions,
} from '../ledger/ledger-check.ts';
import { nodeFileSystem } from '../ledger/ledger-file-system.ts';
import { isUnavailable } from '../postgres/unavailable.ts';
import type { Settings } from '../settings.ts';
import { readDataDirectoryId } from '../supervisor/data-directory.ts';
import { readSettings } from '../supervisor/read-settings.ts';
import { StartError } from '../supervisor/start-error.ts';
import { withCommandPool } from './command-database.ts';

/** Adds `gatelodge ledger …`. */
export function registerLedgerCommands(program: Command): void {
  const ledger = program.command('ledger').description('The files in which decisions are recorded.');
  ledger
    .command('check')
    .description(
      'Read the files of the data directory through and say what is in them, how much of it usage tells of, and what is lost. Changes nothing; a server may run meanwhile. Ends with 1 when something is wrong.',
    )
    .option('--json', 'as JSON', false)
    .action(async ({ json }: { json: boolean }) => {
      process.exitCode = await check(json);
    });
}

interface FromDatabase {
  readonly installationId: string | undefined;
  readonly positions: StoredPositions;
}

/** @returns the exit code */
async function check(isJson: boolean): Promise<number> {
  const settings = readSettings({ withEnvironmentFile: true });
  await requireDirectory(settings.dataDir);
  const root = join(settings.dataDir, 'ledger');
  const read = async (database: FromDatabase | null) => {
    const report = await checkLedger({ fileSystem: nodeFileSystem, root, ...database });
    print(
      isJson ? JSON.stringify(toJson(report, database !== null), null, 2) : toText(report, root, database),
    );
    return report.isSound ? 0 : 1;
  };
  try {
    return await withCommandPool(settings, async (pool) => read(await askDatabase(pool, settings)));
  } catch (error) {
    // The files say what is in them without it, too.
    if (isUnavailable(error) || error instanceof StartError) return read(null);
    throw error;
  }
}

/** Where nothing is, nothing is wrong either: a path that is misspelt must not pass for a sound ledger. */
async function requireDirectory(path: string): Promise<void> {
  await readdir(path).catch((cause: unknown) => {
    throw new StartError(`There is no data directory at ${path} that can be read.`, {
      hint: 'Name it with GATELODGE_DATA_DIR, and run this as the user that runs Gatelodge.',
      cause,
    });
  });
}

async function askDatabase(pool: pg.Pool, settings: Settings): Promise<FromDatabase> {
  const { rows } = await pool.query<{ id: string }>('select id from installation');
  const dataDirectoryId = await readDataDirectoryId(settings.dataDir);
  return {
    installationId: rows[0] && idHex(idPrefixes.installation, rows[0].id),
    positions: {
      read: (segmentIds) => readPositions(pool, segmentIds),
      unfinished: dataDirectoryId === undefined ? [] : await readUnfinished(pool, dataDirectoryId),
    },
  };
}

function toJson({ segments, lost, records, isSound }: LedgerReport, isDatabaseReached: boolean) {
  return {
    sound: isSound,
    database: isDatabaseReached ? 'reached' : 'unreachable',
    records,
    unfolded: isDatabaseReached ? sum(segments.map(({ unfolded }) => unfolded ?? 0)) : null,
    lost_bytes: sum(segments.map(({ lostBytes }) => lostBytes)),
    segments: segments.map((segment) => ({
      id: segment.segmentId,
      path: segment.path,
      created_at: segment.createdAtMs === null ? null : new Date(segment.createdAtMs).toISOString(),
      bytes: segment.bytes,
      state: segment.verdict.kind,
      at: 'at' in segment.verdict ? segment.verdict.at : null,
      records: segment.records,
      position: segment.position?.position ?? null,
      finished: segment.position?.isFinished ?? null,
      unfolded: segment.unfolded,
      lost_bytes: segment.lostBytes,
    })),
    lost_segments: lost.map(({ segmentId, position }) => ({ id: segmentId, position })),
  };
}

function toText(
  { segments, lost, records, isSound }: LedgerReport,
  root: string,
  database: FromDatabase | null,
): string {
  const lines =
    segments.length === 0 ? [] : [columns('SEGMENT', 'CREATED', 'STATE', 'DECISIONS', 'NOT IN USAGE YET')];
  for (const segment of segments) {
    const { segmentId, createdAtMs, verdict, unfolded, lostBytes } = segment;
    const createdAt = createdAtMs === null ? '-' : new Date(createdAtMs).toISOString();
    const left = unfolded === null ? '?' : String(unfolded);
    lines.push(columns(segmentId, createdAt, verdict.kind, segment.records, left));
    const note = explain(segment);
    if (note !== null) lines.push(`  ${note}`, `  ${segment.path}`);
    if (lostBytes > 0) lines.push(`  ${lostBytes} bytes of decisions are lost.`);
  }
  for (const { segmentId, position } of lost)
    lines.push(
      `${segmentId} is not there, though more of it than its first ${position} bytes was to come: that is lost.`,
    );
  if (database === null)
    lines.push('The database can’t be reached, so that nothing is said about what usage tells of yet.');
  lines.push(
    `${records} decisions in ${segments.length} segments of ${root}: ${isSound ? 'sound' : 'NOT SOUND'}.`,
  );
  return lines.join('\n');
}

/** What somebody should know of a segment; null where everything is as it should be. */
function explain({ verdict }: SegmentReport): string | null {
  switch (verdict.kind) {
    case 'sealed':
    case 'open':
    case 'empty':
      return null;
    case 'torn':
      return verdict.recordsAfter === 0
        ? null
        : `Its last batch, at ${verdict.at}, is damaged: a power cut leaves it like that before it is acknowledged; if there was none, decisions are lost.`;
    case 'cut':
      return `A write had failed at ${verdict.at}; what stands there was answered 503 and does not count.`;
    case 'corrupt':
      return `It is damaged at ${verdict.at}; what is whole after that counts.`;
    case 'missing':
      return `It ends at ${verdict.at}, which is too early.`;
    case 'past_end':
      return `Usage tells of its first ${verdict.at} bytes, which it does not have: it is an older copy, or was cut off.`;
    case 'unknown_version':
      return `A newer version wrote what stands at ${verdict.at}; that version will count it.`;
    case 'foreign':
      return `It is of another installation (${verdict.installationId}) and does not count here.`;
    case 'no_segment':
      return 'Its beginning is damaged, so that nothing of it can be read.';
    case 'misnamed':
      return 'It has the name of another segment.';
  }
}

function columns(...cells: (string | number)[]): string {
  const widths = [34, 26, 17, 11, 0];
  return cells
    .map((cell, index) => String(cell).padEnd(widths[index] ?? 0))
    .join('')
    .trimEnd();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
