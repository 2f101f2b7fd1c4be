import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange } from '../harness/raw-http.ts';
import { Rows } from '../harness/rows.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';

/*
 * Attack: a request whose end a proxy and the server see in different places. What the one takes for the rest of a
 * body the other takes for a request of its own, in the name of whoever comes next on that connection.
 */

let server: TestServer;
let rows: Rows;
let authorization: string;
beforeAll(async () => {
  server = await startTestServer();
  rows = await Rows.open(server.database);
  const { id, secret } = server.operator.key;
  authorization = `Authorization: Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
});
afterAll(async () => {
  await rows.close();
  await server.close();
});

const body = '{"name":"made"}';
/** What would be carried out if it were taken for a request. */
const smuggled = () =>
  `POST /v1/issuers HTTP/1.1\r\nHost: localhost\r\n${authorization}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

const framings: [name: string, headers: string[], content: () => string][] = [
  ['a length and chunks', [`Content-Length: ${chunked.length}`, 'Transfer-Encoding: chunked'], () => chunked],
  [
    'chunks and a length',
    ['Transfer-Encoding: chunked', 'Content-Length: 4'],
    () => `0\r\n\r\n${smuggled()}`,
  ],
  ['two lengths', ['Content-Length: 0', `Content-Length: ${body.length}`], () => body],
  ['two lengths in one', [`Content-Length: 0, ${body.length}`], () => body],
  ['a length with a sign', [`Content-Length: +${body.length}`], () => body],
  ['a length in hexadecimal', ['Content-Length: 0x10'], () => body],
  ['a negative length', ['Content-Length: -1'], smuggled],
  ['an encoding that is none', ['Transfer-Encoding: identity'], smuggled],
  ['an encoding before chunks', ['Transfer-Encoding: gzip, chunked'], () => chunked],
  ['an encoding after chunks', ['Transfer-Encoding: chunked, gzip'], () => chunked],
  ['chunks twice', ['Transfer-Encoding: chunked, chunked'], () => chunked],
  [
    'chunks twice in two headers',
    ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
    () => chunked,
  ],
  ['an encoding by another spelling', ['Transfer-Encoding: xchunked'], () => chunked],
  ['an encoding behind a control character', ['Transfer-Encoding: \u000bchunked'], () => chunked],
  ['an encoding with white space before the colon', ['Transfer-Encoding : chunked'], () => chunked],
  ['an encoding on a folded line', ['Transfer-Encoding:', ' chunked'], () => chunked],
  ['a chunk whose length is none', ['Transfer-Encoding: chunked'], () => `x\r\n${body}\r\n0\r\n\r\n`],
  ['a chunk with a sign', ['Transfer-Encoding: chunked'], () => `+f\r\n${body}\r\n0\r\n\r\n`],
  ['a chunk that is longer than it says', ['Transfer-Encoding: chunked'], () => `4\r\n${body}\r\n0\r\n\r\n`],
  [
    'a chunk length that overflows',
    ['Transfer-Encoding: chunked'],
    () => `10000000000000000f\r\n${body}\r\n0\r\n\r\n`,
  ],
  ['bare line feeds', ['Transfer-Encoding: chunked'], () => `f\n${body}\n0\n\n`],
];

describe('what ends where nobody can tell', () => {
  test.each(framings)('is refused, and nothing of it carried out: %s', async (_name, headers, content) => {
    const before = await rows.snapshot();
    const head = [
      'POST /v1/issuers HTTP/1.1',
      'Host: localhost',
      authorization,
      'Content-Type: application/json',
      ...headers,
    ].join('\r\n');
    const answer = await exchange(server.url, `${head}\r\n\r\n${content()}`);
    const statuses = [...answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => status);
    expect(statuses, answer).toEqual(['400']);
    expect(answer).toContain('"code":"bad_request"');
    expect(answer).toMatch(/^Connection: close\r$/m);
    expect(await rows.snapshot()).toEqual(before);
  });

  test('is told from what ends plainly, by a length or in chunks', async () => {
    for (const [header, content] of [
      [`Content-Length: ${body.length}`, body],
      ['Transfer-Encoding: chunked', chunked],
      ['Transfer-Encoding: CHUNKED', chunked],
    ] as const) {
      const answer = await exchange(
        server.url,
        `POST /v1/issuers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${authorization}\r\nContent-Type: application/json\r\n${header}\r\n\r\n${content}`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 201 /);
    }
  });
});
