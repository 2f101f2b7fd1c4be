/** What docs say of the members of settings: a table that is made of their schema. */

/** One member, as far as the table tells of it. */
export interface Member {
  type?: string;
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Member[];
  items?: Member;
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  maxItems?: number;
  properties?: Record<string, Member>;
}

/**
 * Markdown of the table of every leaf below `root`, by its path.
 *
 * @param defaultOf what a member's cell says of its default; what the schema has, unless given
 */
export function renderMemberTable(
  root: Member | undefined,
  defaultOf: (path: string, member: Member) => string = (_path, member) => asCode(member.default),
): string {
  const members = leavesOf(root, '');
  if (members.length === 0) throw new Error('the schema of these settings has another form than it had');
  const rows = members.map(([path, member]) => [
    `\`${path}\``,
    rangeOf(member),
    defaultOf(path, member),
    member.description ?? '',
  ]);
  return [['Member', 'Values', 'Default', 'Meaning'], ['---', '---', '---', '---'], ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
}

/** A value as JSON has it. */
export function asCode(value: unknown): string {
  return `\`${JSON.stringify(value)}\``;
}

function leavesOf(parent: Member | undefined, prefix: string): [string, Member][] {
  return Object.entries(parent?.properties ?? {}).flatMap(([name, member]) =>
    member.properties === undefined ? [[prefix + name, member]] : leavesOf(member, `${prefix}${name}.`),
  );
}

function rangeOf(member: Member): string {
  if (member.anyOf !== undefined) return member.anyOf.map(rangeOf).join(' or ');
  if (member.const !== undefined) return asCode(member.const);
  if (member.enum !== undefined) return member.enum.map(asCode).join(', ');
  const { minimum, maximum, maxItems, maxLength, items } = member;
  switch (member.type) {
    case 'boolean':
      return '`true`, `false`';
    case 'null':
      return '`null`';
    case 'integer':
      return `${minimum?.toLocaleString('en')} to ${maximum?.toLocaleString('en')}`;
    case 'array':
      return items?.enum === undefined ? `up to ${maxItems}` : `some of ${rangeOf(items)}`;
    default:
      return maxLength === undefined ? 'text' : `text, up to ${maxLength.toLocaleString('en')} characters`;
  }
}
