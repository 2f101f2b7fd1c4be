import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parseObject, send } from './http.ts';
import type { CodeSource } from './login-driver.ts';

const run = promisify(execFile);
const patienceMs = 30_000;
const pollMs = 200;

/** A program that prints the code of the address it is given as its last argument. */
export function codeByCommand(command: readonly string[]): CodeSource {
  const [program = '', ...args] = command;
  return async (address) => {
    const { stdout } = await run(program, [...args, address], { timeout: patienceMs });
    return codeIn(stdout, `what ${program} printed`);
  };
}

/**
 * A mailbox over HTTP that answers `{ "data": [{ "id", "to", "text" }] }`, newest first; `to` is added to its query
 * where `isFiltered`. The code is the first run of 6 to 8 digits in a mail's text, and each mail is read once.
 */
export function codeByMailbox(mailbox: {
  url: string;
  authorization?: string | undefined;
  isFiltered?: boolean | undefined;
}): CodeSource {
  const seen = new Set<string>();
  return async (address) => {
    const url = new URL(mailbox.url);
    if (mailbox.isFiltered ?? true) url.searchParams.set('to', address);
    const headers = mailbox.authorization === undefined ? {} : { authorization: mailbox.authorization };
    const until = Date.now() + patienceMs;
    while (Date.now() < until) {
      const answer = await send({ url, headers });
      if (answer.status !== 200) throw new Error(`the mailbox answers ${answer.status}`);
      const mails = mailsOf(answer.body).filter(({ to }) => to === address);
      const [newest] = mails;
      if (newest !== undefined && !seen.has(newest.id)) {
        for (const { id } of mails) seen.add(id);
        return codeIn(newest.text, `a mail to ${address}`);
      }
      await sleep(pollMs);
    }
    throw new Error(`no mail to ${address} within ${patienceMs / 1_000} s`);
  };
}

function mailsOf(body: string): { id: string; to: string; text: string }[] {
  const data = parseObject(body)?.data;
  return (Array.isArray(data) ? data : []) as { id: string; to: string; text: string }[];
}

function codeIn(text: string, where: string): string {
  const code = /\d{6,8}/.exec(text)?.[0];
  if (code === undefined) throw new Error(`no code in ${where}`);
  return code;
}
