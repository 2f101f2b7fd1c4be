#!/usr/bin/env node
// Imports the hashes of another system's API keys into Gatelodge. Plain Node 20 or later, no packages.
// Nothing that it prints holds a hash or a secret.

import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const help = `Usage: node examples/import-keys/import-keys.mjs --issuer ID [options] FILE

Imports API keys by the SHA-256 hashes that another system has of them. FILE is JSONL (one object a line) or CSV with a
header; - reads stdin. Everything is validated first: while one line is invalid, nothing is imported.

  --dry-run               report what is invalid and what conflicts, and import nothing
  --issuer ID             import into this issuer. Give --map organization=COLUMN too: a key of the issuer itself may act
                          for every organization (tenant) of it
  --organization ID       import into this organization of the issuer, but for lines that name another
  --account               import into the account itself, above all of its issuers, instead of --issuer
  --preset unkey          columns as Unkey has them: hash, start, name, externalId or ownerId, meta, expires, enabled,
                          permissions; deletedAt (or deletedAtM) leaves a key out
  --map MEMBER=COLUMN     take MEMBER from COLUMN (a.b reaches into JSON); MEMBER= leaves it out. May be repeated.
                          Columns that are called like a member need none. Members: hash, prefix, hint, name,
                          description, kind, environment, scopes, origins, ips, browsers, require_origin, expires_at,
                          enabled, deleted (anything but empty, 0 and false leaves the key out), metadata,
                          metadata.NAME, and organization (its id or your external_id for it)
  --set MEMBER=VALUE      the same value for every key, such as environment=sandbox. May be repeated.
  --format jsonl|csv      unless the name of FILE tells
  --encoding hex|base64   of the hashes (64 hex digits, or 43–44 characters of base64); recognized unless given
  --include-disabled      import keys that are disabled there too, as disabled; they are left out otherwise
  --skip-invalid          import the valid lines although others are invalid
  --batch-size N          keys a request, 1,000 at the most
  --help

Reads GATELODGE_URL, GATELODGE_KEY_ID and GATELODGE_KEY_SECRET. The key needs gatelodge.api-keys:write, and
gatelodge.organizations:read where lines name organizations. Progress goes to stderr, the report to stdout.
It may be run again: what is imported stays as it is and is reported as such.

Exit status: 0 all done (conflicts included), 1 some lines are invalid, 2 wrong use, 3 the server can't be reached or
refuses.
`;

const maxBatchBytes = 250 * 1024;
const maxAttempts = 8;
const maxAttemptsAtFirst = 3;
const plainMembers = ['prefix', 'hint', 'name', 'description', 'kind', 'environment'];
const restrictionMembers = ['scopes', 'origins', 'ips', 'browsers', 'require_origin'];
const ownMembers = ['hash', 'expires_at', 'enabled', 'deleted', 'metadata', 'organization'];
/** Columns that say that a key is no more, whatever they are called in another system. */
const deletionColumns = [
  'deleted',
  'deleted_at',
  'deletedAt',
  'deleted_at_m',
  'deletedAtM',
  'revoked_at',
  'revokedAt',
];
/** Columns that look as if a key should not work; one that is not mapped is worth a word. */
const warningColumns = /revok|delet|disab|block|suspend/i;
const members = [...plainMembers, ...restrictionMembers, ...ownMembers];

const presets = {
  unkey: {
    hash: ['hash'],
    prefix: ['start', 'prefix'],
    name: ['name'],
    expires_at: ['expires'],
    enabled: ['enabled'],
    deleted: deletionColumns,
    metadata: ['meta'],
    'metadata.external_id': ['externalId', 'external_id', 'identity.externalId', 'ownerId', 'owner_id'],
    'metadata.unkey_id': ['keyId', 'id'],
    scopes: ['permissions'],
  },
};

class UsageError extends Error {}
class ServerError extends Error {}
class LineError extends Error {}

async function main() {
  const options = readOptions();
  if (options === null) return;
  const server = new Server(options);
  const report = new Report();
  const sources = await readSources(options);
  const records = await toRecords(sources, options, server, report);
  const batches = toBatches(records, options);

  const valid = [];
  for (const [index, batch] of batches.entries()) {
    valid.push(await validate(server, batch, options, report));
    progress(`checked batch ${index + 1} of ${batches.length}`);
  }
  warnOfReach(valid, options);
  if (options.isDryRun) {
    report.print(`Dry run: ${counted(total(valid), 'key')} would be imported${targetsOf(valid, options)}.`);
  } else if (report.invalid > 0 && !options.skipsInvalid) {
    report.print('Nothing was imported: mend these lines, or leave them out with --skip-invalid.');
  } else {
    const done = [];
    let earlier = 0;
    for (const [index, { batch, imported: expected }] of valid.entries()) {
      if (batch.records.length > 0) {
        const { imported, isEarlier } = await importBatch(server, batch, expected, report);
        if (isEarlier) earlier += imported;
        else done.push({ batch, imported });
      }
      progress(`imported ${counted(total(done), 'key')}, batch ${index + 1} of ${valid.length}`);
    }
    const number = total(done);
    const before = earlier === 0 ? '' : ` ${were(earlier)} already imported by an earlier run.`;
    report.print(`${were(number)} imported${targetsOf(done, options)}.${before}`);
  }
  process.exitCode = report.invalid > 0 ? 1 : 0;
}

// ── What is asked for ───────────────────────────────────────────────────────────────────────────────────────────

function readOptions() {
  const { values, positionals } = parse();
  if (values.help) {
    process.stdout.write(help);
    return null;
  }
  if (positionals.length !== 1) throw new UsageError('Name one file; see --help.');
  const [file] = positionals;
  const format = values.format ?? (/\.csv$/i.test(file) ? 'csv' : 'jsonl');
  if (!['csv', 'jsonl'].includes(format)) throw new UsageError('--format is jsonl or csv.');
  if (values.preset !== undefined && !Object.hasOwn(presets, values.preset))
    throw new UsageError(`There is no preset of that name; there are: ${Object.keys(presets).join(', ')}.`);
  if (values.encoding !== undefined && !['hex', 'base64'].includes(values.encoding))
    throw new UsageError('--encoding is hex or base64.');
  if (values.organization !== undefined && values.issuer === undefined)
    throw new UsageError('--organization needs --issuer.');
  if (values.account === true && values.issuer !== undefined)
    throw new UsageError('Give --issuer or --account, not both.');
  if (values.account !== true && values.issuer === undefined)
    throw new UsageError(
      'Say where the keys go: --issuer ID, with --map organization=COLUMN for keys of tenants. Without an issuer they would belong to the account itself, above all issuers and tenants; if that is what you want, say --account.',
    );
  const batchSize = Number(values['batch-size'] ?? 1_000);
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > 1_000)
    throw new UsageError('--batch-size is a number from 1 to 1000.');
  const env = {};
  for (const name of ['GATELODGE_URL', 'GATELODGE_KEY_ID', 'GATELODGE_KEY_SECRET']) {
    env[name] = process.env[name];
    if (!env[name]) throw new UsageError(`Set ${name}.`);
  }
  return {
    file,
    format,
    preset: values.preset,
    map: columnsOf(values),
    set: Object.fromEntries((values.set ?? []).map((text) => memberAndValue(text, '--set'))),
    encoding: values.encoding,
    issuer: values.issuer,
    organization: values.organization,
    mapsOrganization: (values.map ?? []).some((text) => /^organization=./.test(text)),
    isDryRun: values['dry-run'] === true,
    includesDisabled: values['include-disabled'] === true,
    skipsInvalid: values['skip-invalid'] === true,
    batchSize,
    url: serverUrl(env.GATELODGE_URL),
    authorization: `Basic ${Buffer.from(`${env.GATELODGE_KEY_ID}:${env.GATELODGE_KEY_SECRET}`).toString('base64')}`,
  };
}

/** Messages name it, so nothing secret may stand in it. */
function serverUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new UsageError('GATELODGE_URL is a URL such as https://keys.example.com.');
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new UsageError('GATELODGE_URL has neither a user, nor a query, nor a fragment.');
  return (url.origin + url.pathname).replace(/\/+$/, '');
}

function parse() {
  const text = { type: 'string' };
  const flag = { type: 'boolean' };
  const many = { type: 'string', multiple: true };
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        'dry-run': flag,
        issuer: text,
        organization: text,
        account: flag,
        preset: text,
        map: many,
        set: many,
        format: text,
        encoding: text,
        'include-disabled': flag,
        'skip-invalid': flag,
        'batch-size': text,
        help: flag,
      },
    });
  } catch (error) {
    throw new UsageError(`${error.message.split('\n')[0]} See --help.`);
  }
}

/** For each member the columns that it may stand in; the first that has something counts. */
function columnsOf({ preset, map = [] }) {
  const columns = Object.fromEntries(members.map((member) => [member, [member]]));
  columns.deleted = deletionColumns;
  if (preset !== undefined) Object.assign(columns, presets[preset]);
  for (const text of map) {
    const [member, column] = memberAndValue(text, '--map');
    if (column === '') delete columns[member];
    else columns[member] = [column];
  }
  if (columns.hash === undefined) throw new UsageError('Without hash there is nothing to import.');
  return columns;
}

function memberAndValue(text, option) {
  const at = text.indexOf('=');
  const member = text.slice(0, at);
  if (at < 1 || !(members.includes(member) || /^metadata\../.test(member)))
    throw new UsageError(`${option} wants MEMBER=…, with a member that --help lists.`);
  return [member, text.slice(at + 1)];
}

// ── What stands in the file ─────────────────────────────────────────────────────────────────────────────────────

/** Each row with the line on which it begins; `row` null where it can't be read. */
async function readSources({ file, format }) {
  let text;
  try {
    text = file === '-' ? await readStdin() : await readFile(file, 'utf8');
  } catch (error) {
    throw new UsageError(`The file can't be read (${error.code}).`);
  }
  text = text.replace(/^\uFEFF/, '');
  return format === 'csv' ? readCsv(text) : readJsonl(text);
}

async function readStdin() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function readJsonl(text) {
  const sources = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    let row = null;
    try {
      row = JSON.parse(line);
    } catch {
      // What JSON.parse has to say repeats a part of the line.
    }
    if (typeof row !== 'object' || Array.isArray(row)) row = null;
    sources.push({ line: index + 1, row, problem: 'is not a JSON object' });
  }
  return sources;
}

/** RFC 4180, with LF as well as CRLF. */
function readCsv(text) {
  const [header, ...lines] = csvLines(text);
  if (header === undefined) return [];
  const names = header.fields.map((name) => name.trim());
  return lines.map(({ line, fields }) => {
    const isWhole = fields.length === names.length;
    const row = isWhole ? Object.fromEntries(names.map((name, at) => [name, fields[at]])) : null;
    return { line, row, problem: `has ${counted(fields.length, 'field')} and the header ${names.length}` };
  });
}

function csvLines(text) {
  const lines = [];
  let fields = [];
  let field = '';
  let isQuoted = false;
  let line = 1;
  let begin = 1;
  const endField = () => {
    fields.push(field);
    field = '';
  };
  const endLine = () => {
    endField();
    if (fields.length > 1 || fields[0] !== '') lines.push({ line: begin, fields });
    fields = [];
  };
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '\n') line++;
    if (isQuoted) {
      if (character !== '"') field += character;
      else if (text[at + 1] === '"') field += text[++at];
      else isQuoted = false;
    } else if (character === '"' && field === '') isQuoted = true;
    else if (character === ',') endField();
    else if (character === '\n') {
      endLine();
      begin = line;
    } else if (character !== '\r' || text[at + 1] !== '\n') field += character;
  }
  if (isQuoted) throw new UsageError(`Line ${begin} opens a quote that is never closed.`);
  if (field !== '' || fields.length > 0) endLine();
  return lines;
}

// ── What becomes of it ──────────────────────────────────────────────────────────────────────────────────────────

async function toRecords(sources, options, server, report) {
  const hasHash = ({ row }) => row !== null && valueIn(row, options.map.hash) !== undefined;
  if (!sources.some(hasHash))
    throw new UsageError(
      'No line has a hash where it is looked for; name its column with --map hash=COLUMN.',
    );
  warnOfColumns(sources, options);
  const organizations = await organizationsOf(sources, options, server);
  const lineOfHash = new Map();
  const records = [];
  for (const { line, row, problem } of sources) {
    try {
      if (row === null) throw new LineError(problem);
      const record = toRecord(line, row, options);
      const hash = Buffer.from(record.key.hash, record.key.encoding).toString('hex');
      const earlier = lineOfHash.get(hash);
      const reason = reasonToLeaveOut(record, options);
      // Where a key would go does not matter of one that goes nowhere.
      if (earlier === undefined && reason === undefined) record.path = pathOf(record, options, organizations);
      lineOfHash.set(hash, earlier ?? line);
      if (earlier !== undefined) report.conflict(line, `the same hash as line ${earlier}`);
      else if (reason !== undefined) report.leftOut(line, reason);
      else records.push(record);
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      report.error(line, error.message);
    }
  }
  return records;
}

function reasonToLeaveOut({ isDeleted, hasExpired, isDisabled }, { includesDisabled }) {
  if (isDeleted) return 'was deleted or revoked there';
  if (hasExpired) return 'has expired there';
  if (isDisabled && !includesDisabled) return 'is disabled there (--include-disabled imports it as disabled)';
  return undefined;
}

function toRecord(line, row, options) {
  const value = (member) => options.set[member] ?? valueIn(row, options.map[member]);
  const hash = value('hash');
  if (typeof hash !== 'string' || hash.trim() === '') throw new LineError('has no hash');
  const key = { hash: hash.trim(), encoding: encodingOf(hash.trim(), options) };
  for (const member of plainMembers) {
    const text = value(member);
    if (text !== undefined) key[member] = String(text);
  }
  const restrictions = restrictionsOf(value, options);
  if (Object.keys(restrictions).length > 0) key.restrictions = restrictions;
  const expiresAt = instantOf(value('expires_at'));
  if (expiresAt !== undefined) key.expires_at = expiresAt;
  const metadata = metadataOf(value, options);
  if (Object.keys(metadata).length > 0) key.metadata = metadata;
  const isDisabled = booleanOf(value('enabled')) === false;
  if (isDisabled) key.enabled = false;
  return {
    line,
    key,
    organization: value('organization'),
    isDisabled,
    isDeleted: isSaid(value('deleted')),
    hasExpired: expiresAt !== undefined && Date.parse(expiresAt) <= Date.now(),
  };
}

function encodingOf(hash, { encoding }) {
  const isHex = /^[0-9a-f]{64}$/i.test(hash);
  const isBase64 = /^[A-Za-z0-9+/_-]{43}=?$/.test(hash);
  if (!isHex && !isBase64)
    throw new LineError(
      "hash: must be 64 hex digits, or 43–44 characters of base64; bcrypt and the like can't be imported",
    );
  const recognized = isHex ? 'hex' : 'base64';
  if (encoding !== undefined && encoding !== recognized)
    throw new LineError(`hash: is ${recognized}, and --encoding says ${encoding}`);
  return recognized;
}

/** A date, a flag: whatever stands there, but for what means nothing. */
function isSaid(value) {
  return value !== undefined && value !== null && !/^(|0|false|no|null)$/i.test(String(value).trim());
}

/** Tells of the columns that nothing is taken from, and of those among them that may say that a key is dead. */
function warnOfColumns(sources, { map, set }) {
  const used = Object.entries(map).filter(([member]) => !Object.hasOwn(set, member));
  const taken = new Set(used.flatMap(([, columns]) => columns.flatMap((name) => [name, name.split('.')[0]])));
  const columns = new Set(sources.flatMap(({ row }) => Object.keys(row ?? {})));
  const ignored = [...columns].filter((column) => !taken.has(column));
  if (ignored.length > 0) note(`ignored columns: ${ignored.map((column) => shown(column)).join(', ')}`);
  for (const column of ignored.filter((name) => warningColumns.test(name)))
    note(`Where the column ${shown(column)} marks keys that must not work: --map deleted=${shown(column)}`);
}

/** Whoever holds a key of the issuer itself may act for every tenant of it, and a column that is not mapped is enough. */
function warnOfReach(batches, { issuer }) {
  const number = total(batches.filter(({ batch }) => issuer !== undefined && !isOfOrganization(batch)));
  if (number === 0) return;
  note(
    `${counted(number, 'key')} without an organization: ${number === 1 ? 'it belongs' : 'they belong'} to the issuer itself and may act for every organization of it. --map organization=COLUMN puts each key below its own.`,
  );
}

function restrictionsOf(value, { preset }) {
  const restrictions = {};
  for (const member of ['scopes', 'origins', 'ips']) {
    const list = listOf(value(member));
    if (list !== undefined) restrictions[member] = list;
  }
  if (preset === 'unkey' && restrictions.scopes !== undefined)
    restrictions.scopes = restrictions.scopes.map(scopeOfPermission);
  const browsers = value('browsers');
  if (browsers !== undefined) restrictions.browsers = String(browsers);
  const requireOrigin = booleanOf(value('require_origin'));
  if (requireOrigin !== undefined) restrictions.require_origin = requireOrigin;
  return restrictions;
}

/** `documents.read` there is `documents:read` here. */
function scopeOfPermission(permission) {
  return permission.includes(':') ? permission : permission.replace(/\.([^.]*)$/, ':$1');
}

function metadataOf(value, { map, set }) {
  let metadata = value('metadata') ?? {};
  if (typeof metadata === 'string') {
    try {
      metadata = JSON.parse(metadata);
    } catch {
      throw new LineError('has metadata that is no JSON');
    }
  }
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    throw new LineError('has metadata that is no JSON object');
  const named = new Set(
    [...Object.keys(map), ...Object.keys(set)].filter((name) => name.startsWith('metadata.')),
  );
  for (const name of named) {
    const inner = value(name);
    if (inner !== undefined) metadata = { ...metadata, [name.slice('metadata.'.length)]: inner };
  }
  return metadata;
}

/** The first of the columns with something in it; what is empty counts as missing. */
function valueIn(row, columns = []) {
  for (const column of columns) {
    const value = Object.hasOwn(row, column)
      ? row[column]
      : column
          .split('.')
          .reduce((inner, name) => (Object.hasOwn(inner ?? {}, name) ? inner[name] : undefined), row);
    if (value !== undefined && value !== null && value !== '') return value;
  }
  return undefined;
}

/** A list, or a text in which commas or white space part it; of objects their names. */
function listOf(value) {
  if (value === undefined) return undefined;
  const list = Array.isArray(value) ? value : parsedList(String(value));
  return list.map((entry) => String(entry?.name ?? entry?.slug ?? entry));
}

function parsedList(text) {
  if (text.trim().startsWith('[')) {
    try {
      return JSON.parse(text);
    } catch {
      throw new LineError('has a list that is no JSON');
    }
  }
  return text.split(/[\s,;]+/).filter((entry) => entry !== '');
}

/** RFC 3339 from what there is: that, Unix seconds or milliseconds, or a date and time without a zone, which is UTC. */
function instantOf(value) {
  if (value === undefined) return undefined;
  const text = String(value).trim();
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number === 0) return undefined;
    const date = new Date(number < 1e11 ? number * 1000 : number);
    if (Number.isNaN(date.getTime())) throw new LineError('has an expiry that is no instant');
    return date.toISOString();
  }
  const local = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?))?$/.exec(text);
  if (local === null) return text.replace(/^(\d{4}-\d{2}-\d{2}) /, '$1T');
  const [, date, time = '00:00:00'] = local;
  return `${date}T${time.length === 5 ? `${time}:00` : time}Z`;
}

function booleanOf(value) {
  if (value === undefined) return undefined;
  if (/^(true|t|yes|1)$/i.test(String(value))) return true;
  if (/^(false|f|no|0)$/i.test(String(value))) return false;
  throw new LineError('has a value that is neither true nor false');
}

/** Ids of the issuer's organizations by id and by external id, where some line names one. */
async function organizationsOf(sources, options, server) {
  const byName = new Map();
  const isNamed = ({ row }) =>
    row !== null && (options.set.organization ?? valueIn(row, options.map.organization)) !== undefined;
  const hasNames = sources.some(isNamed);
  // A misspelt column would give every tenant's key to the issuer.
  if (!hasNames && options.mapsOrganization && options.organization === undefined)
    throw new UsageError(
      'No line has anything in the column that --map organization=… names; is it misspelt?',
    );
  if (!hasNames) return byName;
  if (options.issuer === undefined) throw new UsageError('Lines that name an organization need --issuer.');
  let cursor = '';
  do {
    const path = `/v1/issuers/${encodeURIComponent(options.issuer)}/organizations?limit=100${cursor}`;
    const { data, next_cursor: next } = await server.ask('GET', path);
    for (const { id, external_id: externalId } of data) {
      byName.set(id, id);
      if (externalId !== null) byName.set(externalId, id);
    }
    cursor = next === null ? null : `&cursor=${encodeURIComponent(next)}`;
  } while (cursor !== null);
  return byName;
}

function pathOf({ organization: named, key }, { issuer, organization }, organizations) {
  if (issuer === undefined) return '/v1/api-keys';
  const id = named === undefined ? organization : organizations.get(String(named));
  if (named !== undefined && id === undefined)
    throw new LineError(
      `the issuer has no organization ${shown(named, key)}; create it first, with that as its external_id`,
    );
  const below = id === undefined ? '' : `/organizations/${encodeURIComponent(id)}`;
  return `/v1/issuers/${encodeURIComponent(issuer)}${below}/api-keys`;
}

/** The same file makes the same batches, so that a second run is recognized by their Idempotency-Keys. */
function toBatches(records, { batchSize }) {
  const batches = [];
  const open = new Map();
  for (const record of records) {
    const bytes = Buffer.byteLength(JSON.stringify(record.key)) + 1;
    let batch = open.get(record.path);
    if (batch === undefined || batch.records.length >= batchSize || batch.bytes + bytes > maxBatchBytes) {
      batch = { path: record.path, records: [], bytes: 0 };
      open.set(record.path, batch);
      batches.push(batch);
    }
    batch.records.push(record);
    batch.bytes += bytes;
  }
  return batches;
}

// ── What the server says to it ──────────────────────────────────────────────────────────────────────────────────

/** A dry run of the batch, without those of its lines that are invalid: an answer tells of 50 at the most. */
async function validate(server, { path, records }, { isDryRun }, report) {
  let left = records;
  while (left.length > 0) {
    const answer = await server.request('POST', `${path}/import`, { ...bodyOf(left), dry_run: true });
    if (answer.status === 200) {
      const { imported, conflicts } = answer.body.data;
      // In a real run the import itself tells of them.
      if (isDryRun)
        for (const { index, reason } of conflicts) report.conflict(left[index].line, words(reason));
      return { batch: { path, records: left }, imported };
    }
    const wrong = new Set();
    for (const { path: at, message } of answer.body?.errors ?? []) {
      const [, index, member] = /^keys\[(\d+)\]\.?(.*)$/.exec(at) ?? [];
      if (index === undefined || left[index] === undefined) throw refused(answer, left);
      report.error(left[index].line, `${member}: ${message}`);
      wrong.add(Number(index));
    }
    if (answer.status !== 422 || wrong.size === 0) throw refused(answer, left);
    left = left.filter((_record, index) => !wrong.has(index));
  }
  return { batch: { path, records: left }, imported: 0 };
}

/** @param expected how many the dry run of the same batch would have imported */
async function importBatch(server, { path, records }, expected, report) {
  const body = bodyOf(records);
  const digest = createHash('sha256')
    .update(`${path}\n${JSON.stringify(body)}`)
    .digest('hex');
  const send = (key) => server.request('POST', `${path}/import`, body, { 'Idempotency-Key': key });
  let answer = await send(`import-keys-${digest}`);
  // The answer of an earlier run, though some of its keys have been deleted since: they are asked for anew.
  if (answer.isReplayed && answer.attempts === 1 && expected > 0)
    answer = await send(`import-keys-${digest}-${randomUUID()}`);
  if (answer.status !== 200) throw refused(answer, records);
  const { imported, conflicts } = answer.body.data;
  for (const { index, reason } of conflicts) report.conflict(records[index].line, words(reason));
  // With something to import, a replay is of this run's own request, whose first answer was lost.
  return { imported, isEarlier: answer.isReplayed && expected === 0 };
}

function bodyOf(records) {
  return { keys: records.map(({ key }) => key) };
}

function words(reason) {
  return reason.replaceAll('_', ' ');
}

function refused({ status, body }, records = []) {
  const detail = String(body?.detail ?? '').replace(/keys\[(\d+)\]/, (place, index) =>
    records[index] === undefined ? place : `line ${records[index].line}`,
  );
  return new ServerError(
    `The server answered ${status} ${body?.code ?? ''}: ${detail} (request ${body?.request_id ?? 'unknown'})`,
  );
}

class Server {
  #options;
  #hasAnswered = false;

  constructor(options) {
    this.#options = options;
  }

  /** The body of an answer that has to be a success. */
  async ask(method, path) {
    const answer = await this.request(method, path);
    if (answer.status > 299) throw refused(answer);
    return answer.body;
  }

  /** Tries again while the server is busy or away: every request here may be repeated. */
  async request(method, path, body, headers = {}) {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#send(method, path, body, headers);
      if (answer.status !== 0) this.#hasAnswered = true;
      const isInFlight = answer.body?.code === 'idempotency_in_flight';
      const isPassing = answer.status === 0 || [429, 502, 503, 504].includes(answer.status) || isInFlight;
      if (!isPassing) return { ...answer, attempts: attempt };
      const away = `${this.#options.url} can't be reached (${answer.code}).`;
      // A server that has never answered is more likely a wrong URL than a short absence.
      if (attempt === (this.#hasAnswered ? maxAttempts : maxAttemptsAtFirst))
        throw answer.status === 0
          ? new ServerError(`${away} Is it running, and is GATELODGE_URL right?`)
          : refused(answer);
      if (attempt === 1)
        note(`${answer.status === 0 ? away : `The server answered ${answer.status}.`} Trying again.`);
      await sleep(Math.min(10_000, answer.retryAfterMs || 250 * 2 ** attempt));
    }
  }

  async #send(method, path, body, headers) {
    const { url, authorization } = this.#options;
    try {
      const response = await fetch(url + path, {
        method,
        redirect: 'manual',
        headers: {
          Authorization: authorization,
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      const retryAfterMs = Number(response.headers.get('retry-after')) * 1000;
      const isReplayed = response.headers.get('idempotent-replayed') === 'true';
      return { status: response.status, body: parseJson(text), retryAfterMs, isReplayed };
    } catch (error) {
      const { cause } = error;
      return { status: 0, code: cause?.code || cause?.errors?.[0]?.code || error.name, body: null };
    }
  }
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// ── What is told ────────────────────────────────────────────────────────────────────────────────────────────────

class Report {
  #entries = [];
  #counts = { invalid: 0, conflict: 0, 'left out': 0 };

  get invalid() {
    return this.#counts.invalid;
  }

  error(line, message) {
    this.#add('invalid', line, message);
  }

  conflict(line, message) {
    this.#add('conflict', line, message);
  }

  leftOut(line, message) {
    this.#add('left out', line, message);
  }

  #add(kind, line, message) {
    this.#entries.push({ kind, line, message });
    this.#counts[kind]++;
  }

  print(summary) {
    clearProgress();
    for (const { kind, line, message } of this.#entries.sort((a, b) => a.line - b.line))
      process.stdout.write(`line ${line}: ${kind}: ${message}\n`);
    const { invalid, conflict, 'left out': leftOut } = this.#counts;
    process.stdout.write(`${summary} Conflicts: ${conflict}. Left out: ${leftOut}. Invalid: ${invalid}.\n`);
  }
}

function progress(text) {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

function clearProgress() {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
}

function note(text) {
  clearProgress();
  process.stderr.write(`${text}\n`);
}

/** A name out of the file, on one line. A wrong --map may have made it something that must not be printed. */
function shown(name, key) {
  const text = String(name);
  const isSecret =
    key !== undefined &&
    Buffer.from(key.hash, key.encoding).equals(createHash('sha256').update(text).digest());
  if (isSecret || /[A-Za-z0-9+/_=-]{40}/.test(text)) return '(not shown, for it may be a secret)';
  return /^[\w.-]+$/.test(text) ? text : JSON.stringify(text.replace(/\p{C}/gu, ' ').slice(0, 100));
}

/** Where the keys of these batches go: `: 2 keys into issuer i_…, 1 into its organizations`. */
function targetsOf(batches, { issuer }) {
  const all = total(batches);
  const below = total(batches.filter(({ batch }) => isOfOrganization(batch)));
  const own = all - below;
  if (all === 0) return '';
  if (issuer === undefined) return `: ${counted(all, 'key')} into the account`;
  if (below === 0) return `: ${counted(own, 'key')} into issuer ${issuer}`;
  if (own === 0) return `: ${counted(below, 'key')} into organizations of issuer ${issuer}`;
  return `: ${counted(own, 'key')} into issuer ${issuer}, ${below} into its organizations`;
}

function isOfOrganization({ path }) {
  return path.includes('/organizations/');
}

function were(number) {
  return `${counted(number, 'key')} ${number === 1 ? 'was' : 'were'}`;
}

function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function total(batches) {
  return batches.reduce((number, { imported }) => number + imported, 0);
}

// Last, for classes exist from where they stand.
await main().catch((error) => {
  const isExpected = error instanceof UsageError || error instanceof ServerError;
  note(isExpected ? error.message : `import-keys failed: ${error.name} ${error.code ?? ''}`);
  process.exitCode = error instanceof UsageError ? 2 : 3;
});
