import pg, { type CustomTypesConfig } from 'pg';

const oid = { int8: 20, date: 1082, int8Array: 1016, dateArray: 1182 } as const;

const parseTextArray = pg.types.getTypeParser(1009 as number) as (text: string) => (string | null)[];

/**
 * How values of Postgres become values of JavaScript, where the driver's own way does not suit us:
 * `bigint` is a number (the driver gives text), `date` stays `YYYY-MM-DD` (the driver makes it a moment in the zone
 * of this machine). `timestamptz` is a `Date`, `numeric` text, `bytea` a `Buffer`, `jsonb` its value.
 *
 * A bigint beyond ±(2^53 − 1) fails its query with a RangeError rather than come back rounded.
 */
export const valueParsers: CustomTypesConfig = {
  getTypeParser: ((type: number, format?: 'text' | 'binary') => {
    if (format !== 'binary') {
      switch (type) {
        case oid.int8:
          return parseInt8;
        case oid.int8Array:
          return (text: string) =>
            parseTextArray(text).map((item) => (item === null ? null : parseInt8(item)));
        case oid.date:
          return (text: string) => text;
        case oid.dateArray:
          return parseTextArray;
      }
    }
    return pg.types.getTypeParser(type, format as 'text');
  }) as CustomTypesConfig['getTypeParser'],
};

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`The bigint ${text} has no exact number in JavaScript; select it as text.`);
  }
  return value;
}
