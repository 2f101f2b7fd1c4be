import { LRUCache } from 'lru-cache';
import { parseScope } from './scope.ts';

/** What scopes a request demands, as text such as `a:read AND (b:read OR c:write)` says it. */
export type ScopeExpression =
  | { readonly operator: 'scope'; readonly scope: string }
  | { readonly operator: 'and' | 'or'; readonly operands: readonly ScopeExpression[] };

/** What a key has to hold: all of a list, or what an expression says. */
export type ScopeDemand = readonly string[] | ScopeExpression;

export type ScopeExpressionParse =
  | { readonly ok: true; readonly expression: ScopeExpression }
  | {
      readonly ok: false;
      /** Where it goes wrong and what to write instead; never a part of the text itself. */
      readonly message: string;
      /** The number of the character, from 1. */
      readonly position: number;
    };

/** The longest text of an expression. */
export const maxExpressionLength = 3 * 1024;
/** How many scopes it may name, repeated ones included. */
export const maxExpressionScopes = 100;
/** How many parentheses may be open at once. */
export const maxExpressionNesting = 20;

/**
 * Reads an expression: scopes between which AND or OR stands, in any case, AND binding tighter, and parentheses. White
 * space separates and means nothing more. A scope has a colon, so none can be taken for an operator.
 *
 * Bounded in length, scopes and nesting, so that it neither throws nor takes long, whatever the text.
 */
export function parseScopeExpression(text: string): ScopeExpressionParse {
  if (text.length > maxExpressionLength) {
    const message = `an expression has at most ${maxExpressionLength} characters; demand fewer scopes`;
    return { ok: false, message, position: maxExpressionLength + 1 };
  }
  try {
    return { ok: true, expression: new ExpressionReader(text).read() };
  } catch (fault) {
    if (!(fault instanceof ExpressionFault)) throw fault;
    const { position, advice } = fault;
    return { ok: false, message: `at character ${position}: ${advice}`, position };
  }
}

/** A backend demands few different things, over and over. Weighed by their text, which is bounded; faults are not kept. */
const parsedBefore = new LRUCache<string, ScopeExpressionParse & { ok: true }>({
  max: 1_000,
  maxSize: 256 * 1024,
  sizeCalculation: (_, text) => Math.max(1, text.length),
});

/** As `parseScopeExpression`, for the hot path: what has been read lately is not read again. */
export function parseScopeExpressionOnce(text: string): ScopeExpressionParse {
  const known = parsedBefore.get(text);
  if (known !== undefined) return known;
  const parsed = parseScopeExpression(text);
  if (parsed.ok) parsedBefore.set(text, parsed);
  return parsed;
}

/** Writes an expression so that reading it gives the same again, with no more parentheses than that takes. */
export function printScopeExpression(expression: ScopeExpression): string {
  if (expression.operator === 'scope') return expression.scope;
  const { operator, operands } = expression;
  return operands
    .map((operand) => {
      const needsNone = operand.operator === 'scope' || (operator === 'or' && operand.operator === 'and');
      return needsNone ? printScopeExpression(operand) : `(${printScopeExpression(operand)})`;
    })
    .join(operator === 'and' ? ' AND ' : ' OR ');
}

/** Says whether what is held is what is demanded. Allocates nothing. */
export function meetsDemand(held: readonly string[], demand: ScopeDemand): boolean {
  return isExpression(demand) ? satisfies(held, demand) : holdsAll(held, demand);
}

/** Says whether every one of the `wanted` is held. */
export function holdsAll(held: readonly string[], wanted: readonly string[]): boolean {
  for (const scope of wanted) {
    if (!held.includes(scope)) return false;
  }
  return true;
}

/** The scopes that a demand names and that are not held, each once: of an expression not all of them need be. */
export function scopesLacking(held: readonly string[], demand: ScopeDemand): string[] {
  return [...new Set(scopesNamed(demand))].filter((scope) => !held.includes(scope));
}

/** Every demand at once. */
export function bothDemands(scopes: readonly string[], expressions: readonly ScopeExpression[]): ScopeDemand {
  if (expressions.length === 0) return scopes;
  const [first] = expressions;
  if (first !== undefined && scopes.length === 0 && expressions.length === 1) return first;
  const leaves = scopes.map((scope) => ({ operator: 'scope', scope }) as const);
  return { operator: 'and', operands: [...leaves, ...expressions] };
}

/** Says whether a demand is an expression rather than a list. */
export function isExpression(demand: ScopeDemand): demand is ScopeExpression {
  return !Array.isArray(demand);
}

function satisfies(held: readonly string[], expression: ScopeExpression): boolean {
  if (expression.operator === 'scope') return held.includes(expression.scope);
  const isAnd = expression.operator === 'and';
  for (const operand of expression.operands) {
    if (satisfies(held, operand) !== isAnd) return !isAnd;
  }
  return isAnd;
}

function scopesNamed(demand: ScopeDemand): readonly string[] {
  if (!isExpression(demand)) return demand;
  return demand.operator === 'scope' ? [demand.scope] : demand.operands.flatMap(scopesNamed);
}

/** Never leaves this file: it ends the reading wherever the fault is found. */
class ExpressionFault extends Error {
  readonly position: number;
  readonly advice: string;

  constructor(index: number, advice: string) {
    super(advice);
    this.position = index + 1;
    this.advice = advice;
  }
}

type Token = {
  readonly kind: 'and' | 'or' | '(' | ')' | 'word' | 'end';
  readonly at: number;
  readonly text: string;
};

/** Recursive descent, one token ahead: or := and { OR and }, and := primary { AND primary }, primary := scope | ( or ). */
class ExpressionReader {
  readonly #text: string;
  readonly #tokens = /[()]|[^\s()]+/g;
  #token: Token;
  #scopes = 0;
  #nesting = 0;

  constructor(text: string) {
    this.#text = text;
    this.#token = this.#next();
  }

  read(): ScopeExpression {
    if (this.#is('end')) this.#fail('write at least one scope, or leave the demand out');
    const expression = this.#readChain('or');
    if (this.#is(')')) this.#fail('nothing is open here; remove this )');
    if (!this.#is('end')) this.#fail('write AND or OR before this');
    return expression;
  }

  #readChain(operator: 'and' | 'or'): ScopeExpression {
    const readOperand = () => (operator === 'or' ? this.#readChain('and') : this.#readPrimary());
    const first = readOperand();
    if (!this.#is(operator)) return first;
    const operands = [first];
    while (this.#is(operator)) {
      this.#advance();
      operands.push(readOperand());
    }
    return { operator, operands };
  }

  #readPrimary(): ScopeExpression {
    const { kind, text } = this.#token;
    if (kind === '(') return this.#readGroup();
    if (kind !== 'word') this.#fail('write a scope or a ( here');
    const parsed = parseScope(text);
    if (!parsed.ok) this.#fail(`${parsed.message}; between scopes stands AND or OR`);
    if (++this.#scopes > maxExpressionScopes)
      this.#fail(`an expression names at most ${maxExpressionScopes} scopes; remove this and what follows`);
    this.#advance();
    return { operator: 'scope', scope: parsed.scope };
  }

  #readGroup(): ScopeExpression {
    const { at } = this.#token;
    if (++this.#nesting > maxExpressionNesting)
      this.#fail(`at most ${maxExpressionNesting} parentheses may be open at once; write it flatter`);
    this.#advance();
    const expression = this.#readChain('or');
    if (this.#is('end')) throw new ExpressionFault(at, 'this ( is never closed; add a )');
    if (!this.#is(')')) this.#fail('write AND, OR or ) before this');
    this.#nesting--;
    this.#advance();
    return expression;
  }

  #is(kind: Token['kind']): boolean {
    return this.#token.kind === kind;
  }

  #advance(): void {
    this.#token = this.#next();
  }

  #next(): Token {
    const match = this.#tokens.exec(this.#text);
    if (match === null) return { kind: 'end', at: this.#text.length, text: '' };
    const [text] = match;
    return { kind: kindOf(text), at: match.index, text };
  }

  #fail(advice: string): never {
    throw new ExpressionFault(this.#token.at, advice);
  }
}

function kindOf(text: string): Token['kind'] {
  if (text === '(' || text === ')') return text;
  if (text.length > 3) return 'word';
  const lower = text.toLowerCase();
  return lower === 'and' || lower === 'or' ? lower : 'word';
}
