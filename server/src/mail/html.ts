/** HTML that was made by `html`: what it holds of other texts has been escaped. */
export class Html {
  readonly text: string;

  /** For `html` and `ownHtml`. */
  constructor(text: string) {
    this.text = text;
  }
}

type Insertable = string | number | Html | readonly Html[];

/**
 * A piece of HTML from a template. Whatever is inserted is escaped, for elements as for quoted attributes, unless it is a
 * piece of HTML itself.
 */
export function html(parts: TemplateStringsArray, ...inserted: Insertable[]): Html {
  return new Html(parts.map((part, at) => (at === 0 ? part : textOf(inserted[at - 1]!) + part)).join(''));
}

/** A text of our own source that is HTML as it stands, such as a style sheet. */
export function ownHtml(text: string): Html {
  return new Html(text);
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character]!);
}

function textOf(value: Insertable): string {
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  return escapeHtml(String(value));
}
