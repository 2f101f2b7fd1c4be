import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cell, csvLine } from './csv.ts';

/** Reads CSV as RFC 4180 §2 has it. */
function parse(text: string): string[][] {
  const lines: string[][] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  let line: string[] = [];
  for (let at = 0; at < text.length; at = cell.lastIndex) {
    cell.lastIndex = at;
    const found = cell.exec(text);
    if (found === null) throw new Error(`no CSV from ${at} on: ${JSON.stringify(text.slice(at, at + 40))}`);
    line.push(found[1]?.replaceAll('""', '"') ?? found[2] ?? '');
    if (found[3] === ',') continue;
    lines.push(line);
    line = [];
  }
  return lines;
}

const shown = (cell: Cell) => parse(csvLine([cell, 'x']))[0]![0]!;

test('what is written is read again, whatever it is', () => {
  const cell = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('a"b', ',', '\r\n', '"', '""', ' x ', ''),
    fc.integer(),
    fc.constant(null),
  );
  fc.assert(
    fc.property(fc.array(fc.array(cell, { minLength: 1 }), { minLength: 1 }), (lines) => {
      const read = parse(lines.map(csvLine).join(''));
      expect(read.map((line) => line.map((text) => text.replace(/^'/, '')))).toEqual(
        lines.map((line) => line.map((each) => String(each ?? '').replace(/^'/, ''))),
      );
    }),
  );
});

describe('nothing begins a formula', () => {
  // Attack: a tenant calls its organization =HYPERLINK(…), and the accountant who opens the export runs it.
  test.each([
    '=1+1',
    '+1',
    '-1',
    '@SUM(A1)',
    '|calc',
    '\t=1',
    '\r=1',
    '\n=1',
    ' =1',
    '\u00a0=1',
    '=HYPERLINK("https://evil.example","x")',
    '＝1+1',
    '＋1',
    '－1',
    '＠SUM(A1)',
    '\ufeff=1',
  ])('%j', (text) => {
    expect(shown(text)).toBe(`'${text}`);
  });

  test('but numbers and plain names stay as they are', () => {
    for (const text of ['Acme', "it's", 'a=b', '1-2', 'key_1', '2026-11-21T12:00:00.000Z'])
      expect(shown(text)).toBe(text);
    expect(shown(0.25)).toBe('0.25');
    expect(shown(-1)).toBe('-1');
    expect(shown(null)).toBe('');
  });
});
