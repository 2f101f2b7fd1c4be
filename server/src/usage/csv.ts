/** A cell of a table: text, a number, or nothing. */
export type Cell = string | number | null;

/**
 * What a spreadsheet takes for the beginning of a formula, however it was spaced, also in full-width characters; a name
 * that a tenant chose must not run on the machine of whoever opens the file.
 *
 * @see https://owasp.org/www-community/attacks/CSV_Injection
 */
const beginsFormula = /^\s*[=+\-@|%＝＋－＠]|^[\t\r\n]/u;

/** One line of CSV with its end (RFC 4180). */
export function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`;
}

function csvCell(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell === 'number') return String(cell);
  const inert = beginsFormula.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(inert) || inert !== inert.trim() ? `"${inert.replaceAll('"', '""')}"` : inert;
}
