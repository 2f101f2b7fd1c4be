import { distance } from 'fastest-levenshtein';

/**
 * What is wrong with a member that nobody knows, and how to mend it: by the name that was likely meant, where there is
 * one among those that are known in its place.
 *
 * @param elsewhere where else it is known, in words; null where it is not
 */
export function unknownMemberMessage(
  name: string,
  known: readonly string[],
  elsewhere: string | null = null,
): string {
  const isMisplaced = elsewhere !== null && likelyName(name, known) === null;
  return `is not a member of this request; ${isMisplaced ? `did you mean ${elsewhere}?` : remedyOf(name, known)}`;
}

/** `did you mean scopes?`, or to remove it. */
export function remedyOf(name: string, known: readonly string[]): string {
  const likely = likelyName(name, known);
  return likely === null ? 'remove it' : `did you mean ${likely}?`;
}

/** One letter of four may be another, three at the most; whatever is longer than any name is not compared at all. */
export function likelyName(name: string, known: readonly string[]): string | null {
  const most = Math.min(3, Math.ceil(name.length / 4));
  let closest: { name: string; distance: number } | null = null;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) > most) continue;
    const apart = distance(name.toLowerCase(), candidate.toLowerCase());
    if (apart <= most && apart < (closest?.distance ?? Infinity))
      closest = { name: candidate, distance: apart };
  }
  return closest?.name ?? null;
}
