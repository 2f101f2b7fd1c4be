import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecentChanges } from './recent-changes.ts';

describe('RecentChanges', () => {
  // Attack: a customer writes without end, so that no read of anybody else's keys is ever kept.
  it('holds the changes of one name against nobody else', () => {
    const changes = new RecentChanges(10);
    const begun = changes.epoch;
    for (let index = 0; index < 1000; index++) changes.note('key of the attacker');
    expect(changes.hasChangedSince(begun, ['digest', 'acc_victim', undefined])).toBe(false);
    expect(changes.hasChangedSince(begun, ['digest', 'key of the attacker'])).toBe(true);
  });

  // Attack: so many changes that the one which matters is forgotten while a slow read is under way.
  it('says that anything may have changed once it has forgotten a change since', () => {
    const changes = new RecentChanges(3);
    const begun = changes.epoch;
    changes.note('revoked');
    const begunAfter = changes.epoch;
    for (const name of ['a', 'b', 'c']) changes.note(name);
    expect(changes.hasChangedSince(begun, ['revoked'])).toBe(true);
    expect(changes.hasChangedSince(begun, ['other'])).toBe(true);
    expect(changes.hasChangedSince(begunAfter, ['revoked'])).toBe(false);
  });

  it('says that everything has changed after a flush, and nothing for reads that begin then', () => {
    const changes = new RecentChanges(3);
    const begun = changes.epoch;
    changes.noteAll();
    expect(changes.hasChangedSince(begun, ['any'])).toBe(true);
    expect(changes.hasChangedSince(begun, [])).toBe(true);
    expect(changes.hasChangedSince(changes.epoch, ['any'])).toBe(false);
  });

  it('never denies a change, whatever the order', () => {
    const step = fc.constantFrom<(string | null)[]>('a', 'b', 'c', 'd', 'e', null);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.nat(40), (sequence, at) => {
        const changes = new RecentChanges(3);
        for (const name of sequence.slice(0, at)) name === null ? changes.noteAll() : changes.note(name);
        const begun = changes.epoch;
        const after = sequence.slice(at);
        for (const name of after) name === null ? changes.noteAll() : changes.note(name);
        for (const name of ['a', 'b', 'c', 'd', 'e']) {
          if (after.includes(name) || after.includes(null)) {
            expect(changes.hasChangedSince(begun, [name])).toBe(true);
          } else if (new Set(after).size <= 3 && !sequence.slice(0, at).some(Boolean)) {
            expect(changes.hasChangedSince(begun, [name])).toBe(false);
          }
        }
      }),
    );
  });
});
