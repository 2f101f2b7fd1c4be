/** The upper one of the middle two where there is no middle one. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** To two digits after the point. */
export function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

/**
 * How well a value tells which of two groups it is of: the chance that one of the first is greater than one of the other
 * (ties count half), or the other way round, whichever is more. From 0.5, where it tells nothing, to 1.
 */
export function auc(first: readonly number[], other: readonly number[]): number {
  const sorted = [...other].sort((a, b) => a - b);
  let greater = 0;
  for (const value of first)
    greater += (countBelow(sorted, value, false) + countBelow(sorted, value, true)) / 2;
  const area = greater / (first.length * other.length);
  return Math.max(area, 1 - area);
}

/** How many of the sorted values are less than this one, or (`orEqual`) not more. */
function countBelow(sorted: readonly number[], value: number, orEqual: boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value || (orEqual && sorted[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}
