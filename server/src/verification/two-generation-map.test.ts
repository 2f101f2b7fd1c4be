import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TwoGenerationMap } from './two-generation-map.ts';

describe('TwoGenerationMap', () => {
  it('never holds more than its maximum', () => {
    const map = new TwoGenerationMap<number>(10);
    for (let index = 0; index < 1000; index++) {
      map.set(String(index), index);
      expect(map.size).toBeLessThanOrEqual(10);
    }
  });

  it('keeps what is asked for again and again', () => {
    const map = new TwoGenerationMap<number>(10);
    map.set('hot', 1);
    for (let index = 0; index < 1000; index++) {
      map.set(String(index), index);
      expect(map.get('hot')).toBe(1);
    }
  });

  it('keeps the last half of its maximum whatever comes before', () => {
    const map = new TwoGenerationMap<number>(10);
    for (let index = 0; index < 100; index++) map.set(String(index), index);
    expect([96, 97, 98, 99].map((index) => map.peek(String(index)))).toEqual([96, 97, 98, 99]);
  });

  it('answers what a plain map does, or nothing', () => {
    const command = fc.record({ kind: fc.constantFrom('set', 'get', 'delete', 'clear'), key: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
        const map = new TwoGenerationMap<number>(8);
        const model = new Map<string, number>();
        for (const [index, { kind, key }] of commands.entries()) {
          const name = String(key);
          if (kind === 'set') {
            map.set(name, index);
            model.set(name, index);
          } else if (kind === 'delete') {
            map.delete(name);
            model.delete(name);
          } else if (kind === 'clear') {
            map.clear();
            model.clear();
          }
          expect([undefined, model.get(name)]).toContain(map.get(name));
          expect(map.size).toBeLessThanOrEqual(8);
        }
      }),
    );
  });
});
