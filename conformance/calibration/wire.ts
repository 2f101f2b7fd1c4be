import type { IncomingMessage } from 'node:http';

/** A request on its way to the bare provider. A mutant changes it in place. */
export interface WireRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Record<string, string>;
  /** The parameters of a form body. */
  readonly form: URLSearchParams | undefined;
}

/** An answer on its way back. A mutant changes it in place. */
export interface WireAnswer {
  status: number;
  /** By names in lower case, those of cookies apart. */
  readonly headers: Record<string, string>;
  cookies: readonly string[];
  body: string;
}

/** The body of a form. */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}

/** Changes the members of an answer that is a JSON object; others stay as they are. */
export function editJson(answer: WireAnswer, edit: (members: Record<string, unknown>) => void): void {
  if (!(answer.headers['content-type'] ?? '').includes('json')) return;
  const members = JSON.parse(answer.body) as Record<string, unknown>;
  edit(members);
  answer.body = JSON.stringify(members);
}

/** Changes where an answer sends the browser. */
export function editLocation(answer: WireAnswer, edit: (url: URL) => void): void {
  const { location } = answer.headers;
  if (location === undefined || !URL.canParse(location)) return;
  const url = new URL(location);
  edit(url);
  answer.headers.location = url.href;
}

export function redirectTo(location: string): WireAnswer {
  return { status: 303, headers: { location }, cookies: [], body: '' };
}

export function pageOf(status: number, text: string): WireAnswer {
  const body = `<!doctype html><title>${text}</title><p>${text}</p>`;
  return { status, headers: { 'content-type': 'text/html; charset=utf-8' }, cookies: [], body };
}

export function jsonOf(status: number, members: object): WireAnswer {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  return { status, headers, cookies: [], body: JSON.stringify(members) };
}
