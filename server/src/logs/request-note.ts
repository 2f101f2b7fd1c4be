/**
 * What is found out about a request on its way, for its line in the log. Nothing that the caller has made
 * up, but scopes and names of members.
 */
export interface RequestNote {
  /** Of a client that there is, or could be by its form. */
  clientId?: string | undefined;
  /** What it is refused with. */
  code?: string | undefined;
  /** Why, more precisely than the caller is told. */
  reason?: string | undefined;
  /** What was found on the way and tells more of the reason, which somebody else gives. */
  circumstance?: string | undefined;
  /**
   * Scopes that it has asked for and nobody knows, as they came: characters of scopes (RFC 6749 §3.3) alone, and 200 of
   * them at most. Without them nobody finds the one that is misspelt.
   */
  droppedScopes?: string | undefined;
  /** Path of the first member that is wrong, made of letters, digits and `_.[]`; never what stands in it. */
  field?: string | undefined;
}

const notes = new WeakMap<object, RequestNote>();

/** Notes something about a request; what was noted before of the same kind is no longer so. */
export function noteOnRequest(info: object, note: RequestNote): void {
  notes.set(info, { ...notes.get(info), ...note });
}

/** What has been noted about a request so far. */
export function noteOf(info: object): RequestNote {
  return notes.get(info) ?? {};
}
