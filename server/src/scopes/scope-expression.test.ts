import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { managementPermissions } from './scope.ts';
import {
  bothDemands,
  maxExpressionLength,
  maxExpressionNesting,
  maxExpressionScopes,
  meetsDemand,
  parseScopeExpression,
  parseScopeExpressionOnce,
  printScopeExpression,
  type ScopeExpression,
  scopesLacking,
} from './scope-expression.ts';

const leaf = (scope: string): ScopeExpression => ({ operator: 'scope', scope });
const and = (...operands: ScopeExpression[]): ScopeExpression => ({ operator: 'and', operands });
const or = (...operands: ScopeExpression[]): ScopeExpression => ({ operator: 'or', operands });
const [a, b, c] = [leaf('a:read'), leaf('b:read'), leaf('c:read')];

function parse(text: string): ScopeExpression {
  const parsed = parseScopeExpression(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.expression;
}

const scopes = ['a:read', 'b:read', 'c:read', 'and:or', 'or.and:and', 'keys:verify'] as const;
const anyLeaf = fc.constantFrom(...scopes).map(leaf);
const anyExpression = fc.letrec<{ tree: ScopeExpression }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    anyLeaf,
    fc.record({
      operator: fc.constantFrom('and' as const, 'or' as const),
      operands: fc.array(tie('tree'), { minLength: 2, maxLength: 3 }),
    }),
  ),
})).tree;
const numRuns = scaled(2_000, 100_000);

describe('the grammar', () => {
  test.each([
    ['a:read', a],
    ['a:read AND b:read', and(a, b)],
    ['a:read OR b:read OR c:read', or(a, b, c)],
    ['a:read OR b:read AND c:read', or(a, and(b, c))],
    ['a:read AND b:read OR c:read', or(and(a, b), c)],
    ['a:read AND (b:read OR c:read)', and(a, or(b, c))],
    ['(a:read OR b:read)AND(c:read)', and(or(a, b), c)],
    ['((a:read))', a],
    ['a:read and b:read aNd c:read', and(a, b, c)],
    [' \t\r\n(a:read\u00a0or\nb:read) ', or(a, b)],
    ['or:or OR and:and', or(leaf('or:or'), leaf('and:and'))],
    ['keys:verify or gatelodge.events:read', or(leaf('keys:verify'), leaf('gatelodge.events:read'))],
  ] as const)('%j', (text, expression) => {
    expect(parse(text)).toEqual(expression);
  });

  test.each([
    ['', 1],
    ['  ', 3],
    ['AND', 1],
    ['a:read AND', 11],
    ['a:read b:read', 8],
    ['a:read AND AND b:read', 12],
    ['a:read AND OR b:read', 12],
    ['OR a:read', 1],
    ['()', 2],
    ['(a:read', 1],
    ['a:read OR (b:read AND (c:read)', 11],
    ['a:read)', 7],
    ['(a:read))', 9],
    ['(a:read b:read)', 9],
    ['a:read (b:read)', 8],
    ['NOT a:read', 1],
    ['a:read && b:read', 8],
    ['a:read, b:read', 1],
    ['a:read AND read', 12],
    ['a:read AND *', 12],
    ['a:read AND gatelodge.nonsense:read', 12],
    ['a:read OR KEYS:VERIFY', 11],
    ['a:read\u0000 AND b:read', 1],
    ['а:read', 1],
  ])('%j is refused at character %i, with what to write instead', (text, position) => {
    const parsed = parseScopeExpression(text);
    expect(parsed).toMatchObject({ ok: false, position });
    const message = parsed.ok ? '' : parsed.message;
    expect(message).toContain(`at character ${position}: `);
    expect(message).toMatch(/write|add|remove|such as|take one|between scopes/);
  });

  test('every permission and any mix of case of the operators is understood', () => {
    for (const permission of managementPermissions) expect(parse(permission)).toEqual(leaf(permission));
    for (const word of ['AND', 'And', 'aND', 'and'])
      expect(parse(`a:read ${word} b:read`)).toEqual(and(a, b));
    for (const word of ['OR', 'Or', 'oR', 'or']) expect(parse(`a:read ${word} b:read`)).toEqual(or(a, b));
  });

  test('what is printed reads as the same expression', () => {
    fc.assert(
      fc.property(anyExpression, (expression) => {
        expect(parse(printScopeExpression(expression))).toEqual(expression);
      }),
      { numRuns },
    );
  });

  test('white space, case and needless parentheses change nothing', () => {
    const space = fc.stringMatching(/^[ \t\n]{1,3}$/);
    fc.assert(
      fc.property(anyExpression, space, fc.boolean(), (expression, white, isLower) => {
        const text = printScopeExpression(expression)
          .replaceAll(' AND ', isLower ? ' and ' : ' And ')
          .replaceAll(' ', white);
        expect(parse(`${white}((${text}))${white}`)).toEqual(expression);
      }),
      { numRuns },
    );
  });
});

describe('limits', () => {
  // Attack: text that costs a parser its stack or its time.
  test('length', () => {
    const longest = 'a:read'.padEnd(maxExpressionLength);
    expect(parseScopeExpression(longest).ok).toBe(true);
    expect(parseScopeExpression(`${longest} `)).toMatchObject({ ok: false, position: 3073 });
    expect(parseScopeExpression('('.repeat(10_000_000)).ok).toBe(false);
  });

  test('scopes, whichever way they are nested', () => {
    const many = (count: number) => Array.from({ length: count }, () => 'a:b');
    expect(parseScopeExpression(many(maxExpressionScopes).join(' AND ')).ok).toBe(true);
    for (const text of [
      many(maxExpressionScopes + 1).join(' AND '),
      many(maxExpressionScopes + 1).join(' OR '),
      `(${many(60).join(' OR ')}) AND (${many(41).join(' OR ')})`,
    ]) {
      const parsed = parseScopeExpression(text);
      expect(parsed.ok ? '' : parsed.message).toMatch(/at most 100 scopes/);
      // The position is that of the hundred and first.
      expect(parsed.ok ? 0 : text.slice(0, parsed.position - 1).match(/a:b/g)?.length).toBe(100);
    }
  });

  test('nesting', () => {
    const nested = (depth: number) => `${'('.repeat(depth)}a:read${')'.repeat(depth)}`;
    expect(parse(nested(maxExpressionNesting))).toEqual(a);
    expect(parseScopeExpression(nested(maxExpressionNesting + 1))).toMatchObject({ ok: false, position: 21 });
    // Nesting is how many are open at once, not how many there are.
    const flat = Array.from({ length: 60 }, () => '(a:read)').join(' OR ');
    expect(parseScopeExpression(flat).ok).toBe(true);
  });

  test.each([
    '(',
    ')',
    '()',
    '((a:b) AND ',
    'a:b AND (',
    'a:b OR ',
    ' ',
    '\n',
    'and',
    ':',
    'a',
    '\ud800',
    '😀(',
  ])('a text of nothing but %j is refused at a position', (part) => {
    for (const length of [1, 20, 21, 100, maxExpressionLength, maxExpressionLength + 1]) {
      const parsed = parseScopeExpression(part.repeat(length).slice(0, length));
      expect(parsed.ok).toBe(false);
      if (!parsed.ok) expect(parsed.position).toBeLessThanOrEqual(length + 1);
    }
  });
});

test('any text is read, or refused with a message and a position within it, and no message repeats it', () => {
  const word = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...scopes) },
    { weight: 4, arbitrary: fc.constantFrom('AND', 'or', '(', ')', ' ', '\n') },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }) },
    { weight: 1, arbitrary: fc.constantFrom('canary', 'canary:*', 'gatelodge.x:y', '&&', '||', 'NOT') },
  );
  const garbage = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.array(word, { maxLength: 130 }).map((words) => words.join('')),
    fc.array(word, { maxLength: 130 }).map((words) => words.join(' ')),
  );
  fc.assert(
    fc.property(garbage, (text) => {
      const parsed = parseScopeExpression(text);
      if (parsed.ok) {
        expect(parse(printScopeExpression(parsed.expression))).toEqual(parsed.expression);
        return;
      }
      expect(parsed.message.length).toBeGreaterThan(20);
      expect(parsed.message).not.toContain('canary');
      expect(parsed.position).toBeGreaterThanOrEqual(1);
      expect(parsed.position).toBeLessThanOrEqual(text.length + 1);
    }),
    { numRuns },
  );
});

describe('what is held', () => {
  /** The meaning once more, as JavaScript has it. */
  function modelOf(expression: ScopeExpression, held: ReadonlySet<string>): boolean {
    if (expression.operator === 'scope') return held.has(expression.scope);
    const met = expression.operands.map((operand) => modelOf(operand, held));
    return expression.operator === 'and' ? !met.includes(false) : met.includes(true);
  }
  const anyHeld = fc.subarray([...scopes]);

  test('meets an expression as the model says', () => {
    fc.assert(
      fc.property(anyExpression, anyHeld, (expression, held) => {
        expect(meetsDemand(held, expression)).toBe(modelOf(expression, new Set(held)));
      }),
      { numRuns },
    );
  });

  test('meets a list when it has all of it, in whatever order and however often', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...scopes)), anyHeld, (demand, held) => {
        expect(meetsDemand(held, demand)).toBe(demand.every((scope) => held.includes(scope)));
      }),
    );
    expect(meetsDemand([], [])).toBe(true);
  });

  test('more of it never meets less', () => {
    fc.assert(
      fc.property(anyExpression, anyHeld, anyHeld, (expression, held, more) => {
        if (meetsDemand(held, expression)) expect(meetsDemand([...held, ...more], expression)).toBe(true);
      }),
      { numRuns },
    );
  });

  test('lacks what a demand names and it has not, each once', () => {
    expect(scopesLacking(['a:read'], ['a:read', 'b:read', 'b:read'])).toEqual(['b:read']);
    expect(scopesLacking(['a:read'], parse('a:read AND (b:read OR c:read OR b:read)'))).toEqual([
      'b:read',
      'c:read',
    ]);
    fc.assert(
      fc.property(anyExpression, anyHeld, (expression, held) => {
        if (!meetsDemand(held, expression)) expect(scopesLacking(held, expression)).not.toEqual([]);
      }),
    );
  });
});

test('several demands are met only together', () => {
  const demands = fc.tuple(fc.subarray([...scopes]), fc.array(anyExpression, { maxLength: 3 }));
  fc.assert(
    fc.property(demands, fc.subarray([...scopes]), ([list, expressions], held) => {
      const both = meetsDemand(held, bothDemands(list, expressions));
      expect(both).toBe([list, ...expressions].every((demand) => meetsDemand(held, demand)));
    }),
    { numRuns },
  );
  // Without an expression it stays the list that it was.
  const list = ['a:read'];
  expect(bothDemands(list, [])).toBe(list);
});

describe('what is remembered', () => {
  test('is the expression itself, and is that of its text alone', () => {
    const first = parseScopeExpressionOnce('a:read AND remembered:here');
    expect(parseScopeExpressionOnce('a:read AND remembered:here')).toBe(first);
    expect(parseScopeExpressionOnce('a:read OR remembered:here')).not.toEqual(first);
    fc.assert(
      fc.property(fc.oneof(anyExpression.map(printScopeExpression), fc.string()), (text) => {
        expect(parseScopeExpressionOnce(text)).toEqual(parseScopeExpression(text));
        expect(parseScopeExpressionOnce(text)).toEqual(parseScopeExpression(text));
      }),
    );
  });

  test('is bounded: a flood of different ones drives out what nobody asks for', () => {
    const first = parseScopeExpressionOnce('flood:first');
    for (let index = 0; index < 2_000; index++) parseScopeExpressionOnce(`flood:n${index}`);
    expect(parseScopeExpressionOnce('flood:first')).toEqual(first);
    expect(parseScopeExpressionOnce('flood:first')).not.toBe(first);
  });
});
