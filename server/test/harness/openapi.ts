import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { JsonSchema } from '../../src/openapi/components.ts';

/** A parameter as the document describes it. */
export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required: boolean;
  example?: unknown;
  schema: JsonSchema;
}

/** An operation of the document, with what it refers to looked up. */
export interface Operation {
  readonly method: string;
  readonly path: string;
  readonly operationId: string;
  readonly parameters: readonly Parameter[];
  /** Of its JSON body; null where it takes none. */
  readonly body: { readonly schema: JsonSchema; readonly example: unknown } | null;
  /** Of the form that it takes instead; null where it takes none. */
  readonly form: { readonly schema: JsonSchema; readonly example: unknown } | null;
  readonly definition: JsonSchema;
}

/** An answer as far as the contract speaks of it. Header names in lower case. */
export interface AnswerFacts {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  text: string;
}

/** Reads the OpenAPI document of a running server and holds its answers against it. */
export class ApiContract {
  readonly document: JsonSchema;
  readonly operations: readonly Operation[];
  readonly #ajv: Ajv2020;
  readonly #validators = new Map<string, ValidateFunction>();

  static async of(server: { url: string }): Promise<ApiContract> {
    const answer = await fetch(`${server.url}/openapi.json`);
    return new ApiContract((await answer.json()) as JsonSchema);
  }

  constructor(document: JsonSchema) {
    this.document = document;
    this.#ajv = new Ajv2020({ strict: false, validateSchema: false, allErrors: false });
    formats.default(this.#ajv);
    this.#ajv.addSchema({ ...document, $id: 'document' });
    this.operations = this.#readOperations();
  }

  operation(operationId: string): Operation {
    const found = this.operations.find((operation) => operation.operationId === operationId);
    if (found === undefined) throw new Error(`the document has no operation ${operationId}`);
    return found;
  }

  /** What a reference leads to; anything else as it is. */
  resolve(value: unknown): JsonSchema {
    const reference = (value as { $ref?: string }).$ref;
    return reference === undefined ? (value as JsonSchema) : this.resolve(this.at(reference));
  }

  /** What a JSON pointer of the document (`#/…`) leads to; undefined where it leads nowhere. */
  at(pointer: string): unknown {
    return pointer
      .slice(2)
      .split('/')
      .map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~'))
      .reduce<unknown>(
        (value, part) => (value as Record<string, unknown> | undefined)?.[part],
        this.document,
      );
  }

  /** Whether a body is one that the operation declares to take. */
  acceptsBody(operation: Operation, body: unknown): boolean {
    return operation.body !== null && this.#validator(operation.body.schema)(body) === true;
  }

  /** Everything in which an answer breaks the contract of its operation; empty where it keeps it. */
  problemsOf(operation: Operation, answer: AnswerFacts): string[] {
    const responses = operation.definition.responses as Record<string, unknown>;
    const declared = responses[String(answer.status)];
    if (declared === undefined) return [`status ${answer.status} is not declared`];
    const response = this.resolve(declared);
    return [...this.#headerProblems(response, answer), ...this.#contentProblems(response, operation, answer)];
  }

  #headerProblems(response: JsonSchema, { headers }: AnswerFacts): string[] {
    return Object.entries((response.headers ?? {}) as Record<string, unknown>).flatMap(([name, header]) => {
      const { required, schema } = this.resolve(header) as { required?: boolean; schema: JsonSchema };
      const value = headers[name.toLowerCase()];
      if (value === undefined) return required === true ? [`the header ${name} is missing`] : [];
      return this.#validator(schema)(value) ? [] : [`the header ${name} is ${JSON.stringify(value)}`];
    });
  }

  #contentProblems(response: JsonSchema, operation: Operation, { headers, text }: AnswerFacts): string[] {
    const content = response.content as Record<string, { schema: JsonSchema }> | undefined;
    const type = String(headers['content-type'] ?? '').split(';', 1)[0]!;
    // HEAD answers what GET would, but for the content itself.
    if (operation.method === 'HEAD') return [];
    if (content === undefined) return text === '' ? [] : ['a content although none is declared'];
    const media = content[type];
    if (media === undefined) return [`the content type ${type || '(none)'} is not declared`];
    if (!type.endsWith('json')) return [];
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      return ['the content is not JSON'];
    }
    const validate = this.#validator(media.schema);
    if (!validate(body)) return [`the content breaks its schema: ${this.#ajv.errorsText(validate.errors)}`];
    const codes = response['x-codes'] as string[] | undefined;
    const { code } = body as { code?: string };
    if (type !== 'application/problem+json' || codes?.includes(code ?? '')) return [];
    return [`the code ${code} is not declared`];
  }

  #validator(schema: JsonSchema): ValidateFunction {
    const key = JSON.stringify(schema);
    let validate = this.#validators.get(key);
    if (validate === undefined) {
      validate = this.#ajv.compile(absolute(schema) as JsonSchema);
      this.#validators.set(key, validate);
    }
    return validate;
  }

  #readOperations(): Operation[] {
    const paths = this.document.paths as Record<string, Record<string, JsonSchema>>;
    return Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, definition]) => ({
        method: method.toUpperCase(),
        path,
        operationId: String(definition.operationId),
        parameters: (definition.parameters ?? []) as Parameter[],
        body: bodyOf(definition, 'application/json'),
        form: bodyOf(definition, 'application/x-www-form-urlencoded'),
        definition,
      })),
    );
  }
}

function bodyOf({ requestBody }: JsonSchema, type: string): Operation['body'] {
  const content = (requestBody as { content?: Record<string, unknown> } | undefined)?.content;
  return (content?.[type] ?? null) as Operation['body'];
}

/** A schema that stands alone refers into the document by the document's name. */
function absolute(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(absolute);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) =>
      name === '$ref' && typeof inner === 'string' && inner.startsWith('#')
        ? [name, `document${inner}`]
        : [name, absolute(inner)],
    ),
  );
}
