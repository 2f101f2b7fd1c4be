import type { Operation } from '../harness/openapi.ts';
import type { Random } from '../harness/random.ts';
import { hostileJson, hostileText, hostileValue } from './hostile-values.ts';
import type { FuzzWorld } from './world.ts';

/** A request as it goes over the wire, and what its answer may be held against. */
export interface FuzzRequest {
  bytes: Buffer;
  method: string;
  /** Path or method are no longer the operation's: it may be answered that there is no such route. */
  isElsewhere: boolean;
  /** The server may cut the connection while this is still being sent. */
  mayBeCut: boolean;
}

interface Draft {
  method: string;
  target: string;
  query: [string, string][];
  headers: [string, string][];
  body: Buffer | null;
  isChunked: boolean;
  isElsewhere: boolean;
}

type Mutation = (draft: Draft, random: Random, operation: Operation, world: FuzzWorld) => void;

/** A request that the operation should carry out. */
export function validRequest(operation: Operation, world: FuzzWorld): FuzzRequest {
  return toBytes(draftOf(operation, world));
}

/** That request, made hostile in one to three ways. */
export function hostileRequest(operation: Operation, world: FuzzWorld, random: Random): FuzzRequest {
  const draft = draftOf(operation, world);
  const usable = Object.entries(mutations).filter(
    ([name]) =>
      (!name.startsWith('body') || operation.body !== null) &&
      (!name.startsWith('form') || operation.form !== null),
  );
  for (let count = 1 + random.int(3); count > 0; count--)
    random.pick(usable)[1](draft, random, operation, world);
  return toBytes(draft);
}

function draftOf(operation: Operation, world: FuzzWorld): Draft {
  return {
    method: operation.method,
    target: world.pathOf(operation.path),
    query: world.queryOf(operation),
    headers: [['Host', 'localhost'], ...world.credentialsFor(operation), ...contentTypeOf(operation)],
    body: contentOf(operation, world),
    isChunked: false,
    isElsewhere: false,
  };
}

function contentTypeOf({ body, form }: Operation): [string, string][] {
  if (form !== null) return [['Content-Type', 'application/x-www-form-urlencoded']];
  return body === null ? [] : [['Content-Type', 'application/json']];
}

function contentOf(operation: Operation, world: FuzzWorld): Buffer | null {
  if (operation.form !== null) return Buffer.from(new URLSearchParams(world.formOf(operation)).toString());
  return operation.body === null ? null : Buffer.from(JSON.stringify(world.bodyOf(operation)));
}

const setHeader = (draft: Draft, name: string, value: string) => {
  draft.headers = draft.headers.filter(([other]) => other.toLowerCase() !== name.toLowerCase());
  draft.headers.push([name, value]);
};

const mutations: Record<string, Mutation> = {
  // ── Bodies ──
  'body: a member of another type': (draft, random, operation) => {
    const body = { ...(operation.body!.example as Record<string, unknown>) };
    const names = Object.keys((schemaOf(operation).properties ?? body) as object);
    body[random.pick(names)] = hostileValue(random);
    draft.body = Buffer.from(JSON.stringify(body));
  },
  'body: a value deep inside': (draft, random, operation) => {
    const body = structuredClone(operation.body!.example) as Record<string, unknown>;
    replaceSomewhere(body, random);
    draft.body = Buffer.from(JSON.stringify(body));
  },
  'body: members more and fewer': (draft, random, operation) => {
    const body = { ...(operation.body!.example as Record<string, unknown>) };
    for (const name of Object.keys(body)) if (random.chance(0.3)) delete body[name];
    if (random.chance(0.7)) body[hostileText(random).slice(0, 100)] = hostileValue(random);
    draft.body = Buffer.from(JSON.stringify(body));
  },
  'body: every member made up': (draft, random, operation) => {
    const names = Object.keys((schemaOf(operation).properties ?? {}) as object).filter(() =>
      random.chance(0.5),
    );
    draft.body = Buffer.from(
      JSON.stringify(Object.fromEntries(names.map((name) => [name, hostileValue(random)]))),
    );
  },
  'body: no object': (draft, random) => {
    draft.body = Buffer.from(JSON.stringify(hostileValue(random)) ?? 'null');
  },
  'body: broken JSON': (draft, random) => {
    draft.body = hostileJson(random, draft.body?.toString() || '{}');
  },
  'body: missing': (draft) => {
    draft.body = null;
  },
  'a body where none belongs': (draft, random) => {
    draft.body ??= hostileJson(random, '{"name":"x"}');
    if (random.chance(0.5)) setHeader(draft, 'Content-Type', 'application/json');
  },
  'in chunks': (draft) => {
    draft.isChunked = draft.body !== null;
  },
  // ── Forms ──
  'form: members more, fewer and twice': (draft, random, operation, world) => {
    const form = new URLSearchParams(world.formOf(operation));
    for (const name of [...form.keys()]) if (random.chance(0.3)) form.delete(name);
    const names = [
      ...Object.keys((schemaOf(operation).properties ?? {}) as object),
      hostileText(random).slice(0, 50),
    ];
    for (let count = random.int(4); count > 0; count--)
      form.append(random.pick(names), hostileText(random).slice(0, 3_000));
    draft.body = Buffer.from(form.toString());
  },
  'form: of bytes': (draft, random) => {
    draft.body = Buffer.from(
      random.pick([
        '%',
        '%zz=%zz',
        'a=%ED%A0%80&b=%00',
        '&&==&=&',
        '__proto__=1&constructor=2',
        'a[b]=c&a[]=d',
        '\u0000=\xff',
      ]),
      'latin1',
    );
  },
  'form: too long': (draft, random) => {
    draft.body = Buffer.from(`x=${'a'.repeat(50_000 + random.int(100_000))}`);
  },
  // ── Paths and queries ──
  'another id': (draft, random, operation, world) => {
    draft.target = world.pathOf(operation.path, () =>
      random.pick([
        () => `i_${random.text(25, 'abc012')}`,
        () => `key_${random.text(25, 'abc012')}`,
        () => random.text(1 + random.int(70), 'abcXYZ019_-.~'),
        () => encodeURIComponent(hostileText(random).toWellFormed().slice(0, 100)) || 'x',
        () =>
          random.pick([
            '%00',
            '%2e%2e',
            '%2f',
            '..',
            '.',
            '~',
            '%C3%28',
            '%ED%A0%80',
            '*',
            'a;b',
            'a,b',
            '%25',
            ':x',
          ]),
      ])(),
    );
    draft.isElsewhere = true;
  },
  'a path bent out of shape': (draft, random) => {
    draft.isElsewhere = true;
    const { target } = draft;
    draft.target = random.pick([
      () => `${target}/`,
      () => `/${target}`,
      () => target.replace('/v1', '/v1/.'),
      () => target.replace('/v1', '/V1'),
      () => target.replaceAll('/', '%2F').replace('%2F', '/'),
      () => `${target}%`,
      () => `${target}%zz`,
      () => `${target}%00`,
      () => `${target}\u00e9`,
      () => `${target}/${'a'.repeat(random.pick([100, 5_000]))}`,
      () => `http://evil.example${target}`,
      () => `//evil.example${target}`,
      () => `${target}#x`,
      () => `${target};x=1`,
      () => target.replace('/', '\\'),
      () => '*',
      () => `${target} x`,
    ])();
  },
  'a query': (draft, random, operation) => {
    const known = operation.parameters.filter((each) => each.in === 'query').map(({ name }) => name);
    for (let count = 1 + random.int(3); count > 0; count--) {
      const name = random.chance(0.8) && known.length > 0 ? random.pick(known) : hostileText(random);
      draft.query.push([name, random.chance(0.3) ? hostileText(random) : random.pick(queryValues)]);
    }
  },
  'a forged cursor': (draft, random) => {
    const position = Buffer.from(JSON.stringify([hostileText(random), 'key_x'])).toString('base64url');
    draft.query.push([
      'cursor',
      random.pick([`${position}.${position}`, position, `${position}.`, '.', '..', 'e30.AAAA']),
    ]);
  },
  'a query no URL may have': (draft, random) => {
    draft.target += random.pick([
      '?%',
      '?%zz=1',
      '?a=%ED%A0%80',
      '?\u00e9=\u00ff',
      '?',
      '??',
      '?&&&',
      '?=',
      '?a[]=1&a[]=2',
      '?limit=1&limit=2',
      `?${'a=1&'.repeat(1_500)}`,
    ]);
  },
  // ── Headers ──
  'other credentials': (draft, random, _operation, world) => {
    setHeader(
      draft,
      'Authorization',
      random.pick([...world.otherCredentials, `Bearer ${hostileText(random)}`]),
    );
  },
  'no credentials': (draft) => {
    draft.headers = draft.headers.filter(([name]) => name !== 'Authorization');
  },
  'two credentials': (draft, random, _operation, world) => {
    draft.headers.push([
      random.pick(['Authorization', 'X-API-Key', 'x-otp-api-key']),
      random.pick(world.otherCredentials),
    ]);
  },
  'another content type': (draft, random) => {
    setHeader(draft, 'Content-Type', random.pick(contentTypes));
  },
  'a header with a meaning': (draft, random) => {
    const [name, values] = random.pick(meaningfulHeaders);
    draft.headers.push([name, random.chance(0.3) ? hostileText(random) : random.pick(values)]);
  },
  'a header with bytes of all kinds': (draft, random) => {
    draft.headers.push([
      random.pick(['X-Weird', 'Origin', 'User-Agent', 'X-TN', 'Accept']),
      random.text(20, allBytes),
    ]);
  },
  'many headers': (draft, random) => {
    for (let count = random.pick([50, 200]); count > 0; count--)
      draft.headers.push([`X-${count}`, 'x'.repeat(random.int(20))]);
  },
  'a huge header': (draft, random) => {
    draft.headers.push(['X-Huge', 'x'.repeat(random.pick([8_000, 15_000, 17_000, 70_000]))]);
  },
  // ── Methods ──
  'another method': (draft, random) => {
    draft.method = random.pick([
      'HEAD',
      'OPTIONS',
      'TRACE',
      'PROPFIND',
      'QUERY',
      'PUT',
      'PATCH',
      'POST',
      'get',
      'BREW',
    ]);
    draft.isElsewhere = true;
  },
};

const queryValues = [
  ...[
    '0',
    '1',
    '100',
    '101',
    '-1',
    '1.5',
    '1e1',
    '0x1',
    '9'.repeat(400),
    'true',
    'name',
    '-name',
    '-created_at',
  ],
  ...[
    'live',
    'sandbox',
    'active',
    'expired',
    'secret',
    'i_',
    'invoices:read',
    'a b',
    'a%20b',
    '*',
    'nginx',
    'LIVE',
  ],
];
const contentTypes = [
  ...[
    'text/plain',
    'application/xml',
    'application/jsonp',
    'application/json;charset=latin1',
    'application/json; x',
  ],
  ...[
    'application/json;charset="utf-8"',
    'APPLICATION/JSON',
    'application/merge-patch+json',
    'application/*',
    '*/*',
  ],
  ...[
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded',
    'application/json, text/plain',
    'json',
  ],
  ...['', ';', '/', 'a/b/c', 'application/json;', 'application/json\u00e9', 'application/problem+json'],
];
const meaningfulHeaders: [string, string[]][] = [
  ['If-Match', ['*', '"1"', '"999"', 'W/"1"', '"', '', '"1", "2"', '1']],
  ['If-None-Match', ['*', '"1"']],
  ['Idempotency-Key', ['a', '', ' ', 'a b', 'x'.repeat(255), 'x'.repeat(256), 'é']],
  ['X-Request-Id', ['mine', '', 'a b', 'x'.repeat(128), 'x'.repeat(129), '<script>', '../..']],
  ['X-Gatelodge-Account', ['acc_x', `acc_${'0'.repeat(25)}`, '']],
  ['Origin', ['https://evil.example', 'null', '*', 'https://a, https://b']],
  ['Access-Control-Request-Method', ['GET', 'EVIL']],
  ['Sec-Fetch-Site', ['cross-site', 'none']],
  ['Expect', ['100-continue', 'nonsense']],
  ['Upgrade', ['websocket', 'h2c']],
  ['Connection', ['close', 'keep-alive', 'upgrade', 'Authorization']],
  ['Accept', ['application/xml', '*/*;q=0', 'text/html']],
  ['Accept-Encoding', ['gzip', 'identity;q=0']],
  ['Accept-Version', ['1.0.0', 'x']],
  ['Range', ['bytes=0-1', 'bytes=-1']],
  ['Content-Encoding', ['gzip', 'br']],
  ['X-HTTP-Method-Override', ['DELETE']],
  ['X-Forwarded-For', ['1.2.3.4', '::1', 'evil']],
  ['X-Forwarded-Proto', ['https', 'http']],
  ['X-Forwarded-Uri', ['/?api_key=x', '//evil']],
  ['X-TN', ['org_x', 'tenant', '']],
  ['Cookie', ['session=x', '=']],
  ['Host', ['evil.example', '', 'a b', 'localhost:99999']],
  ['Transfer-Encoding', ['identity', 'gzip', 'chunked, chunked']],
  ['Content-Length', ['abc', '-1', '1, 2', '1e3']],
];
/** Every byte that can be told from the end of a header, and a few that make it none. */
const allBytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
  .filter((character) => character !== '\r' && character !== '\n')
  .join('');

function schemaOf(operation: Operation): { properties?: unknown } {
  return (operation.body ?? operation.form)!.schema as { properties?: unknown };
}

function replaceSomewhere(value: Record<string, unknown>, random: Random): void {
  const name = random.pick([...Object.keys(value), 'metadata', 'restrictions']);
  const inner = value[name];
  if (typeof inner === 'object' && inner !== null && !Array.isArray(inner) && random.chance(0.7))
    replaceSomewhere(inner as Record<string, unknown>, random);
  else if (Array.isArray(inner) && random.chance(0.7))
    inner[random.int(inner.length + 1)] = hostileValue(random);
  else value[name] = hostileValue(random);
}

function toBytes({ method, target, query, headers, body, isChunked, isElsewhere }: Draft): FuzzRequest {
  const search = query.map(([name, value]) => `${encodeQuery(name)}=${encodeQuery(value)}`).join('&');
  const path = search === '' ? target : `${target}${target.includes('?') ? '&' : '?'}${search}`;
  // Chunks that never come would be waited for.
  const framing: [string, string][] =
    body === null
      ? []
      : [isChunked ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', String(body.length)]];
  const head = [
    `${method} ${path} HTTP/1.1`,
    ...[...headers, ...framing].map(([name, value]) => `${name}: ${wire(value)}`),
  ].join('\r\n');
  const content = body === null ? [] : isChunked ? inChunks(body) : [body];
  return {
    bytes: Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), ...content]),
    method,
    isElsewhere,
    mayBeCut: (body?.length ?? 0) > 200_000 || head.length > 60_000,
  };
}

function encodeQuery(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/** Bytes of a header: UTF-8 for what is beyond latin1, and no line break, which would begin another header. */
function wire(value: string): string {
  const isLatin1 = [...value].every((character) => character.charCodeAt(0) < 256);
  return (isLatin1 ? value : Buffer.from(value).toString('latin1')).replaceAll(/[\r\n]/g, ' ');
}

function inChunks(body: Buffer): Buffer[] {
  const half = Math.ceil(body.length / 2);
  const chunks = [body.subarray(0, half), body.subarray(half)].filter((chunk) => chunk.length > 0);
  return [
    ...chunks.flatMap((chunk) => [
      Buffer.from(`${chunk.length.toString(16)}\r\n`),
      chunk,
      Buffer.from('\r\n'),
    ]),
    Buffer.from('0\r\n\r\n'),
  ];
}
