/** The upper one of the middle two where there is no middle one. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** To two digits after the point. */
export function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
