import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeByCommand, codeByMailbox } from '../browser/code-sources.ts';

let answer: { status: number; mails: { id: string; to: string; text: string }[] };
let asked: { url: string; authorization: string | undefined }[];
const mailbox = createServer((request, response) => {
  asked.push({ url: request.url!, authorization: request.headers.authorization });
  response.writeHead(answer.status).end(JSON.stringify({ data: answer.mails }));
});

beforeAll(() => new Promise<void>((resolve) => mailbox.listen(0, '127.0.0.1', resolve)));
afterAll(() => {
  mailbox.close();
});

function boxUrl(): string {
  return `http://127.0.0.1:${(mailbox.address() as AddressInfo).port}/box`;
}

describe('codeByMailbox', () => {
  it('takes the newest mail to the address, each once, and the first run of 6 to 8 digits in it', async () => {
    asked = [];
    answer = {
      status: 200,
      mails: [
        { id: '3', to: 'bob@example.com', text: 'Code 999999' },
        { id: '2', to: 'ada@example.com', text: 'In 10 minutes 12345678 ends, not 654321' },
        { id: '1', to: 'ada@example.com', text: 'Code 111111' },
      ],
    };
    const codeFor = codeByMailbox({ url: boxUrl(), authorization: 'Basic abc' });
    expect(await codeFor('ada@example.com')).toBe('12345678');
    expect(asked[0]).toEqual({ url: '/box?to=ada%40example.com', authorization: 'Basic abc' });
    // The user signs in again, and is not given the older mail while the new one is on its way.
    const next = codeFor('ada@example.com');
    setTimeout(() => answer.mails.unshift({ id: '4', to: 'ada@example.com', text: 'Code 222222' }), 300);
    expect(await next).toBe('222222');
  });

  it('leaves the address out of the query of a mailbox that does not take it', async () => {
    asked = [];
    answer = { status: 200, mails: [{ id: '1', to: 'ada@example.com', text: '123456' }] };
    expect(await codeByMailbox({ url: boxUrl(), isFiltered: false })('ada@example.com')).toBe('123456');
    expect(asked[0]!.url).toBe('/box');
  });

  it('says when it may not look', async () => {
    answer = { status: 401, mails: [] };
    await expect(codeByMailbox({ url: boxUrl() })('ada@example.com')).rejects.toThrow('401');
  });
});

describe('codeByCommand', () => {
  it('runs a program with the address and reads the code that it prints', async () => {
    const script = 'console.log("the code of", process.argv.at(-1), "is 123456")';
    expect(await codeByCommand([process.execPath, '-e', script])('ada@example.com')).toBe('123456');
  });

  it('says when the program prints none', async () => {
    const codeFor = codeByCommand([process.execPath, '-e', 'console.log("none")']);
    await expect(codeFor('ada@example.com')).rejects.toThrow('no code');
  });
});
