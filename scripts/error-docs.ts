/**
 * Writes docs/errors.md from the table of errors; with `--check` writes nothing and exits 1 when it would change.
 *
 *     node scripts/error-docs.ts [--check]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, errorTable } from '../server/src/errors.ts';
import { refusals } from '../server/src/verification/refusals.ts';

/** The page that documents every error code. */
export const errorsPage = fileURLToPath(new URL('../docs/errors.md', import.meta.url));

/** Markdown of that page, made from the tables and nothing else. */
export function renderErrorDocs(): string {
  const codes = (Object.keys(errorTable) as ErrorCode[]).sort(
    (a, b) => errorTable[a].status - errorTable[b].status || (a < b ? -1 : 1),
  );
  return `---
title: Errors
description: Every error code that Gatelodge answers.
---

<!-- Written by scripts/error-docs.ts from server/src/errors.ts and server/src/verification/refusals.ts: change it there. -->

Errors of the API are \`application/problem+json\` (RFC 9457). Branch on \`code\`, which is stable, and show \`detail\` to
people; quote \`request_id\` when you ask for help. \`type\` is the URL of a page of your Gatelodge that says what this one does of its
code. Which codes an operation can answer stands in \`/openapi.json\`.

${renderTable(
  ['`code`', 'Status', 'Title', 'What it says unless it can be more precise', 'What else to do'],
  codes.map((code) => {
    const { status, title, detail, fix = '–' } = errorTable[code];
    return [`\`${code}\``, String(status), title, detail, fix];
  }),
)}

## Refusals of a key, in the words of each dialect

\`/v1/authorize/{issuer_id}\` answers in the \`error_format\` of the issuer's key profile. In \`problem\` the code is the one
above; \`POST /v1/keys/verify\` answers 200 with a \`code\` of its own.

${renderTable(
  ['`problem`', 'Status', '`nested`: code, type', '`flat`', 'verify'],
  Object.entries(refusals).map(([code, { status, nested, flat, verifyCode }]) => [
    `\`${code}\``,
    String(status),
    `\`${nested[0]}\`, \`${nested[1]}\``,
    `\`${flat}\``,
    verifyCode === null ? '–' : `\`${verifyCode}\``,
  ]),
)}
`;
}

function renderTable(header: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

if (import.meta.main) {
  if (!process.argv.includes('--check')) {
    writeFileSync(errorsPage, renderErrorDocs());
  } else if (readFileSync(errorsPage, 'utf8') !== renderErrorDocs()) {
    console.error('docs/errors.md differs from the table of errors; run: node scripts/error-docs.ts');
    process.exitCode = 1;
  }
}
