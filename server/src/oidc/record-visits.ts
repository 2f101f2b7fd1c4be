import { type Authorizations, type Context, Provider } from 'oidc-provider';

/** What a request has met so far of a record. */
export interface Visit {
  /** `unsaved`: it could not be written, and is not tried again. */
  readonly state: 'found' | 'gone' | 'unknown' | 'unsaved';
  readonly sessionId: string | null;
  readonly isUsed?: boolean;
  /** Of a browser login, which is named by its `uid`: the id by which it is kept. */
  readonly id?: string;
  /** Of a browser login: until when it is kept, in seconds since 1970. */
  readonly exp?: number | undefined;
  /** Of a browser login: who is signed in by it; undefined where nobody is yet. */
  readonly userId?: string | undefined;
  /** Of a browser login: what it has with its clients, as it was found or written last. */
  readonly authorizations?: Authorizations | undefined;
}

const visits = new WeakMap<Context, Map<string, Visit>>();

/** What the request under way has met of this record; undefined where nothing, and outside of requests of the library. */
export function visitOf(model: string, id: string): Visit | undefined {
  return visitsOfRequest()?.get(nameOf(model, id));
}

/** Remembers it for the rest of the request. */
export function visit(model: string, id: string, what: Visit): void {
  visitsOfRequest()?.set(nameOf(model, id), what);
}

/** The session of a record that had been used up before this request has shown it; null where there is none. */
export function sessionOfUsed(): string | null {
  const used = [...(visitsOfRequest()?.values() ?? [])].find(({ isUsed }) => isUsed);
  return used?.sessionId ?? null;
}

function nameOf(model: string, id: string): string {
  return `${model} ${id}`;
}

function visitsOfRequest(): Map<string, Visit> | undefined {
  const context = Provider.ctx;
  if (context === undefined) return undefined;
  let map = visits.get(context);
  if (map === undefined) {
    map = new Map();
    visits.set(context, map);
  }
  return map;
}
