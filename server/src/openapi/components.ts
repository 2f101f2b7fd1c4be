import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';

export type JsonSchema = Record<string, unknown>;

/** zod's name for the only schema of ours that contains itself: any JSON value. */
const recursiveName = /^__schema\d+$/;
const jsonValue = 'JsonValue';

const componentPath = '#/components/schemas/';

/** Collects what many operations share (schemas with a name, `meta({ id })`, and errors): each stands there once. */
export class Components {
  readonly #schemas = new Map<string, JsonSchema>();
  readonly #errors = new Map<string, JsonSchema>();

  schemas(): JsonSchema {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** `components.responses`. */
  responses(): JsonSchema {
    return Object.fromEntries([...this.#errors].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** A reference to the error answer of a status; answers of one status that differ are numbered. */
  error(status: number, answer: JsonSchema): JsonSchema {
    for (let number = 1; ; number++) {
      const name = number === 1 ? `Error${status}` : `Error${status}_${number}`;
      const known = this.#errors.get(name);
      if (known !== undefined && !isDeepStrictEqual(known, answer)) continue;
      this.#errors.set(name, answer);
      return { $ref: `#/components/responses/${name}` };
    }
  }

  /** The schema written out, or a reference where it has a name; what it refers to becomes a component. */
  reference(schema: z.ZodType, io: 'input' | 'output' = 'output'): JsonSchema {
    const json = z.toJSONSchema(schema, {
      io,
      unrepresentable: 'any',
      target: 'draft-2020-12',
      cycles: 'ref',
    });
    const { $schema: _dialect, $defs, ...rest } = json as JsonSchema;
    for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, JsonSchema>)) {
      const { id: _id, ...body } = definition;
      this.#keep(componentName(name), tidy(body) as JsonSchema);
    }
    return tidy(rest) as JsonSchema;
  }

  /** A reference to a schema that was written by hand. */
  named(name: string, schema: JsonSchema): JsonSchema {
    this.#keep(name, schema);
    return { $ref: `${componentPath}${name}` };
  }

  /** The schema written out, also where it has a name. */
  inline(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
    const json = this.reference(schema, io);
    if (typeof json.$ref !== 'string') return json;
    return this.#schemas.get(json.$ref.slice(componentPath.length)) ?? json;
  }

  /** Two schemas of one name would make the document say of one what is true of the other. */
  #keep(name: string, schema: JsonSchema): void {
    const known = this.#schemas.get(name);
    if (known !== undefined && !isDeepStrictEqual(known, schema)) {
      throw new Error(`two schemas are called ${name}`);
    }
    this.#schemas.set(name, schema);
  }
}

function componentName(definition: string): string {
  return recursiveName.test(definition) ? jsonValue : definition;
}

/**
 * References point into the components, and what says nothing goes: the bounds that zod gives every integer, and that
 * the names of an object's members are strings.
 */
function tidy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tidy);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(
    ([name, inner]) =>
      !((name === 'maximum' || name === 'minimum') && Math.abs(Number(inner)) === Number.MAX_SAFE_INTEGER) &&
      !(name === 'propertyNames' && isDeepStrictEqual(inner, { type: 'string' })),
  );
  return Object.fromEntries(
    members.map(([name, inner]) =>
      name === '$ref' && typeof inner === 'string'
        ? [name, inner.replace(/^#\/\$defs\/(.*)$/, (_all, to) => `${componentPath}${componentName(to)}`)]
        : [name, tidy(inner)],
    ),
  );
}
