import { setTimeout as sleep } from 'node:timers/promises';
import { everyCore } from './cores.ts';
import { Gatelodge } from './gatelodge.ts';
import { type Expected, runRound } from './load.ts';
import type { BenchOptions, Pace } from './options.ts';
import { timeAddresses } from './otp-timing.ts';
import { Helper } from './processes.ts';
import { postJson } from './requests.ts';
import { type Row, record } from './results.ts';
import { alternate } from './rounds.ts';
import { round2 } from './statistics.ts';

const connectionCounts = [1, 16];
const expected: Expected = { status: 200, text: '"refresh_token"' };

/** More than a round and its lead-in can use. */
const codesOf = ({ isQuick }: BenchOptions) => (isQuick ? 400 : 4_000);

/** A code that somebody has been mailed. */
interface MailedCode {
  email: string;
  otp: string;
}

/**
 * Signing in over HTTP, from the mailed code to the JWT, with every budget, event and limit, against bare transactions of
 * three statements with one signature each. And whether the time that asking for a code takes tells who is a user.
 */
export async function benchOtp(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  const gatelodge = cleanup.use(await Gatelodge.start());
  const issuer = await gatelodge.create<{ id: string }>('/v1/issuers', { name: 'Bench' });
  const key = await gatelodge.create<{ secret_plain: string }>(`/v1/issuers/${issuer.id}/api-keys`, {});
  await longLivedCodes(gatelodge, issuer.id);
  await endlessGuesses(gatelodge);
  // Both wait for Postgres, which is as real as it gets on two cores.
  await gatelodge.postgres.useCores(everyCore);
  const codes = await mailedCodes(gatelodge, key.secret_plain, codesOf(options));
  // Everybody signs in once, so that what is measured is signing in again, on a device that says so.
  const requests = await signInAll(gatelodge, key.secret_plain, codes);
  const [session] = await gatelodge.postgres.query<{ id: string }>('select id from sessions limit 1');
  const floor = cleanup.use(
    await Helper.start('./otp-floor.ts', [session!.id], { DATABASE_URL: gatelodge.postgres.url() }),
  );
  const rows: Row[] = [];
  for (const connections of connectionCounts) {
    const pairs = await alternate<{ requestsPerSecond: number; p50Ms: number }>(
      () => measureSignIns(gatelodge, requests, connections, options.pace),
      () => measureFloor(floor, connections, options.pace),
      options.pace.rounds,
    );
    rows.push({
      connections,
      'ours sign-ins/s': Math.round(pairs.ours((round) => round.requestsPerSecond)),
      'floor transactions/s': Math.round(pairs.other((round) => round.requestsPerSecond)),
      'throughput ratio': round2(pairs.ratio((round) => round.requestsPerSecond)),
      'ours p50 ms': round2(pairs.ours((round) => round.p50Ms)),
    });
  }
  const timing = await timeAddresses(gatelodge, issuer.id, key.secret_plain, options);
  record('otp', options, { 'Signed in': rows, 'Known and unknown addresses': timing });
}

/** One that has been measured by hand lasts as long as the benchmark takes. */
async function longLivedCodes({ port, authorization }: Gatelodge, issuerId: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/issuers/${issuerId}/login-settings`, {
    method: 'PATCH',
    headers: { Authorization: authorization, 'Content-Type': 'application/json' },
    body: JSON.stringify({ code_lifetime_seconds: 3_600 }),
  });
  if (!response.ok) throw new Error(`login-settings answered ${response.status}: ${await response.text()}`);
}

/** Asks for codes as users do, and reads them out of the mailbox of the development, some at a time: it keeps the newest. */
async function mailedCodes(gatelodge: Gatelodge, secret: string, count: number): Promise<MailedCode[]> {
  const atOnce = 40;
  const codes = new Map<string, string>();
  for (let from = 0; from < count; from += atOnce) {
    await forgetBudgets(gatelodge);
    const emails = Array.from({ length: Math.min(atOnce, count - from) }, (_, index) =>
      addressOf(from + index),
    );
    const left = [...emails];
    const work = async () => {
      for (let email = left.pop(); email !== undefined; email = left.pop())
        await ask(gatelodge, secret, email);
    };
    await Promise.all(Array.from({ length: 4 }, work));
    for (let attempt = 0; emails.some((email) => !codes.has(email)); attempt++) {
      if (attempt === 200) throw new Error('no mail in 10 s');
      for (const [email, otp] of await newestMails(gatelodge)) codes.set(email, otp);
      if (emails.some((email) => !codes.has(email))) await sleep(50);
    }
  }
  return [...codes].map(([email, otp]) => ({ email, otp }));
}

const addressOf = (index: number) => `user-${String(index).padStart(6, '0')}@bench.example`;

async function ask({ port }: Gatelodge, secret: string, email: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/auth/request-otp`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ email }),
  });
  if (!response.ok) throw new Error(`request-otp answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

async function newestMails({ port, authorization }: Gatelodge): Promise<[string, string][]> {
  const response = await fetch(`http://127.0.0.1:${port}/dev/mailbox.json`, {
    headers: { Authorization: authorization },
  });
  const { data } = (await response.json()) as { data: { to: string; text: string }[] };
  return data.map(({ to, text }) => [to, /\d{6,8}/.exec(text)![0]]);
}

/** Mails of one key and one address are few an hour; the benchmark has neither more keys nor more addresses. */
async function forgetBudgets({ postgres }: Gatelodge): Promise<void> {
  await postgres.query('delete from login_budgets');
}

/**
 * One address may guess 300 times an hour, and the benchmark has no more addresses: a budget that is about to be used up is
 * emptied, so that it is taken from and written as any.
 */
async function endlessGuesses({ postgres }: Gatelodge): Promise<void> {
  await postgres.query(`
    create function empty_guesses() returns trigger language plpgsql as $$
    begin
      new.takes := '{}';
      new.public_takes := '{}';
      return new;
    end $$`);
  await postgres.query(`
    create trigger empty_guesses before update on login_budgets for each row
      when (new.kind = 'guess' and cardinality(new.takes) > 200) execute function empty_guesses()`);
}

/** Every code is as it was before anybody used it or guessed at it. */
async function renewCodes({ postgres }: Gatelodge): Promise<void> {
  await postgres.query(
    `update otp_addresses set code_used_at = null, code_guesses = 0, window_guesses = 0, guesses = '{}', public_guesses = '{}'`,
  );
  await postgres.query('vacuum analyze otp_addresses');
}

/** Answers the requests by which they sign in once more. */
async function signInAll(
  { port }: Gatelodge,
  secret: string,
  codes: readonly MailedCode[],
): Promise<Buffer[]> {
  const left = [...codes];
  const requests: Buffer[] = [];
  const work = async () => {
    for (let code = left.pop(); code !== undefined; code = left.pop()) {
      const response = await fetch(`http://127.0.0.1:${port}/auth/verify-otp`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(code),
      });
      if (!response.ok) throw new Error(`verify-otp answered ${response.status}: ${await response.text()}`);
      const { device_token } = (await response.json()) as { device_token: string };
      requests.push(
        postJson('/auth/verify-otp', { ...code, device_token }, [`Authorization: Bearer ${secret}`]),
      );
    }
  };
  await Promise.all(Array.from({ length: 4 }, work));
  return requests;
}

async function measureSignIns(
  gatelodge: Gatelodge,
  requests: readonly Buffer[],
  connections: number,
  pace: Pace,
): Promise<{ requestsPerSecond: number; p50Ms: number }> {
  await renewCodes(gatelodge);
  let sent = 0;
  const round = { port: gatelodge.port, connections, request: () => requests[sent++] ?? null, expected };
  const lead = await runRound({ ...round, seconds: pace.leadInSeconds });
  const result = await runRound({ ...round, seconds: pace.roundSeconds });
  if (lead.wrong + result.wrong > 0) throw new Error('sign-ins failed, so the figures mean nothing');
  await sleep(pace.restSeconds * 1000);
  return result;
}

/** As `measure` does it. */
async function measureFloor(
  floor: Helper,
  atOnce: number,
  pace: Pace,
): Promise<{ requestsPerSecond: number; p50Ms: number }> {
  await floor.ask<number>({ seconds: pace.leadInSeconds, atOnce });
  const count = await floor.ask<number>({ seconds: pace.roundSeconds, atOnce });
  await sleep(pace.restSeconds * 1000);
  return {
    requestsPerSecond: count / pace.roundSeconds,
    p50Ms: (1_000 * atOnce * pace.roundSeconds) / count,
  };
}
