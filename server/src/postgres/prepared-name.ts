import { hash } from 'node:crypto';

/** What a connection keeps is bounded by this, should statements come to be made anew each time. */
const maxNames = 200;

const names = new Map<string, string>();

/**
 * The name under which a connection keeps a statement once it is parsed and planned; undefined for one that is not to be
 * kept. A statement that answers `*` is not: after a migration that adds a column it would fail until its connection ends.
 */
export function preparedNameOf(text: string): string | undefined {
  const known = names.get(text);
  if (known !== undefined) return known;
  if (/[\s.,(]\*/.test(text) || names.size >= maxNames) return undefined;
  const name = `gl_${hash('sha256', text).slice(0, 24)}`;
  names.set(text, name);
  return name;
}
