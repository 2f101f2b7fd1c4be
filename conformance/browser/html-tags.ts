/** A start tag, an end tag or the text between two of them. */
export type HtmlPart =
  | { readonly kind: 'start'; readonly name: string; readonly attributes: ReadonlyMap<string, string> }
  | { readonly kind: 'end'; readonly name: string }
  | { readonly kind: 'text'; readonly text: string };

/** Elements whose text is no markup (HTML §13.2.5: raw text and escapable raw text). */
const rawTextElements = new Set(['script', 'style', 'textarea', 'title']);

const namedReferences: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
};

/**
 * The tags and texts of a page in their order: enough of HTML's tokenizer for the pages of a login, which hold neither
 * nested documents nor markup written by scripts.
 */
export function* htmlParts(html: string): Generator<HtmlPart> {
  let at = 0;
  while (at < html.length) {
    const open = html.indexOf('<', at);
    if (open === -1) {
      yield { kind: 'text', text: decodeReferences(html.slice(at)) };
      return;
    }
    if (open > at) yield { kind: 'text', text: decodeReferences(html.slice(at, open)) };
    const after = markupFrom(html, open);
    if (after.part !== undefined) yield after.part;
    at = after.end;
    if (after.part?.kind === 'start' && rawTextElements.has(after.part.name)) {
      const end = endOfRawText(html, at, after.part.name);
      const raw = html.slice(at, end);
      yield { kind: 'text', text: after.part.name === 'textarea' ? decodeReferences(raw) : raw };
      at = end;
    }
  }
}

function markupFrom(html: string, open: number): { part?: HtmlPart; end: number } {
  if (html.startsWith('<!--', open)) {
    const end = html.indexOf('-->', open + 4);
    return { end: end === -1 ? html.length : end + 3 };
  }
  if (/^<[!?]/.test(html.slice(open, open + 2))) {
    const end = html.indexOf('>', open);
    return { end: end === -1 ? html.length : end + 1 };
  }
  const tag = /<(\/?)([a-zA-Z][^\s/>]*)/y;
  tag.lastIndex = open;
  const found = tag.exec(html);
  // A bare `<` is text.
  if (found === null) return { part: { kind: 'text', text: '<' }, end: open + 1 };
  const name = found[2]!.toLowerCase();
  const { attributes, end } = attributesFrom(html, tag.lastIndex);
  return found[1] === '/'
    ? { part: { kind: 'end', name }, end }
    : { part: { kind: 'start', name, attributes }, end };
}

function attributesFrom(html: string, start: number): { attributes: Map<string, string>; end: number } {
  const attributes = new Map<string, string>();
  const attribute = /[\s/]*(?:(>)|([^\s/>=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']*)))?)/y;
  attribute.lastIndex = start;
  for (let found = attribute.exec(html); found !== null; found = attribute.exec(html)) {
    if (found[1] !== undefined) return { attributes, end: attribute.lastIndex };
    const name = found[2]!.toLowerCase();
    const value = decodeReferences(found[3] ?? found[4] ?? found[5] ?? '');
    if (!attributes.has(name)) attributes.set(name, value);
  }
  return { attributes, end: html.length };
}

function endOfRawText(html: string, start: number, name: string): number {
  const end = new RegExp(`</${name}[\\s/>]`, 'gi');
  end.lastIndex = start;
  return end.exec(html)?.index ?? html.length;
}

function decodeReferences(text: string): string {
  return text.replaceAll(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z]+));?/g, (whole, ...groups) => {
    const [decimal, hex, name] = groups as (string | undefined)[];
    if (name !== undefined) return namedReferences[name] ?? whole;
    const point = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
