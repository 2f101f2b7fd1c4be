import { describe, expect, test } from 'vitest';
import { etagOf, requireMatch } from './etag.ts';

describe('If-Match', () => {
  test.each([undefined, '*', ' * ', '"7"', ' "7" ', '"6", "7"', '"7","8"'])(
    '%j lets version 7 pass',
    (ifMatch) => {
      expect(() => requireMatch(ifMatch, 7)).not.toThrow();
    },
  );

  test.each(['"6"', '"77"', 'W/"7"', '"*"', '""', '"6", W/"7"'])(
    '%j holds a change of version 7 back',
    (ifMatch) => {
      expect(() => requireMatch(ifMatch, 7)).toThrow(
        expect.objectContaining({ code: 'precondition_failed', status: 412 }),
      );
    },
  );

  test.each(['7', '', '"7', '7"', '"7";', '"7" "8"', '"7", 8', '*, "7"', '"a"b"'])(
    '%j is no entity tag, and is told so',
    (ifMatch) => {
      expect(() => requireMatch(ifMatch, 7)).toThrow(
        expect.objectContaining({ code: 'bad_request', status: 400 }),
      );
    },
  );
});

test('a tag is strong and names the version', () => {
  expect(etagOf(7)).toBe('"7"');
  expect(() => requireMatch(etagOf(7), 7)).not.toThrow();
});
