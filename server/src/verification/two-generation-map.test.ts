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

  // Attack: a customer fills the memory of a node with a few keys that are as heavy as a key can be.
  it('holds fewer of what is heavy, and never more weight than its maximum and the two that went beyond', () => {
    const weighing = { max: 1000, of: (weight: number) => weight };
    const map = new TwoGenerationMap<number>(100, weighing);
    const held = new Map<string, number>();
    const weightHeld = () => [...held.keys()].reduce((sum, key) => sum + (map.peek(key) ?? 0), 0);
    fc.assert(
      fc.property(fc.array(fc.nat(300), { maxLength: 100 }), (weights) => {
        for (const [index, weight] of weights.entries()) {
          held.set(String(index % 40), weight + 1);
          map.set(String(index % 40), weight + 1);
          if (index % 7 === 0) map.delete(String((index * 3) % 40));
          map.get(String((index * 5) % 40));
          expect(weightHeld()).toBeLessThanOrEqual(1000 + 2 * 301);
        }
      }),
    );
    for (let index = 0; index < 10; index++) map.set(String(index), 5000);
    expect(map.size).toBeLessThanOrEqual(2);
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
