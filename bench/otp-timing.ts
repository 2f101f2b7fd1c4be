import net from 'node:net';
import type { Gatelodge } from './gatelodge.ts';
import type { BenchOptions } from './options.ts';
import { postJson } from './requests.ts';
import type { Row } from './results.ts';
import { auc, median, round2 } from './statistics.ts';

/** Of each kind asked for in a row before the budgets of the one key and the one address are emptied. */
const inARow = 25;

/** What is asked, and how the users who are told from strangers may sign up. */
interface Question {
  name: string;
  path: string;
  signUp: boolean;
  body: (email: string) => object;
  status: number;
  /** The users have signed in before, and every address has had its mails of this hour: only they get one more. */
  isCapped?: true;
}

const questions: readonly Question[] = [
  {
    name: 'request-otp, sign-up on',
    path: '/auth/request-otp',
    signUp: true,
    body: (email) => ({ email }),
    status: 200,
  },
  {
    name: 'request-otp, sign-up off',
    path: '/auth/request-otp',
    signUp: false,
    body: (email) => ({ email }),
    status: 200,
  },
  {
    name: 'request-otp, capped address',
    path: '/auth/request-otp',
    signUp: true,
    body: (email) => ({ email }),
    status: 200,
    isCapped: true,
  },
  {
    name: 'verify-otp, wrong code',
    path: '/auth/verify-otp',
    signUp: true,
    body: (email) => ({ email, otp: '00000000' }),
    status: 401,
  },
];

/**
 * How well the time of an answer tells an address that is a user's from one that is nobody's: the chance that of one of each
 * the user's takes longer. 0.5 is a coin that is tossed.
 */
export async function timeAddresses(
  gatelodge: Gatelodge,
  issuerId: string,
  secret: string,
  { isQuick }: BenchOptions,
): Promise<Row[]> {
  const samples = isQuick ? 200 : 2_000;
  const connection = await Connection.open(gatelodge.port);
  const rows: Row[] = [];
  for (const [index, question] of questions.entries()) {
    const known = await makeUsers(gatelodge, issuerId, `known-${index}`, samples);
    const unknown = known.map((email) => email.replace('known', 'other'));
    await setSignUp(gatelodge, issuerId, question.signUp);
    const ask = (email: string) =>
      connection.time(
        postJson(question.path, question.body(email), [`Authorization: Bearer ${secret}`]),
        question.status,
      );
    if (question.isCapped) await cap(gatelodge, issuerId, ask, known, unknown);
    const times = { known: [] as number[], unknown: [] as number[] };
    for (let at = 0; at < samples; at++) {
      if (at % inARow === 0) await forgetBudgets(gatelodge);
      // Which goes first is a coin's to say: what comes second may find something warm.
      const order = Math.random() < 0.5 ? (['known', 'unknown'] as const) : (['unknown', 'known'] as const);
      for (const which of order) {
        times[which].push(await ask((which === 'known' ? known : unknown)[at]!));
      }
    }
    rows.push({
      question: question.name,
      'samples of each': samples,
      'known p50 ms': round2(median(times.known)),
      'unknown p50 ms': round2(median(times.unknown)),
      AUC: round2(auc(times.known, times.unknown)),
    });
  }
  connection.close();
  return rows;
}

/** Stored past the API, which would make one at a time. */
async function makeUsers(
  { postgres }: Gatelodge,
  issuerId: string,
  name: string,
  count: number,
): Promise<string[]> {
  const rows = await postgres.query<{ username: string }>(
    `insert into users (id, account_id, issuer_id, username_type, username, username_key)
     select 'usr_' || $2 || lpad(n::text, 17, '0'), i.account_id, i.id, 'email', a.address, a.address
     from issuers i cross join generate_series(0, $3::int - 1) as n
     cross join lateral (select $2 || '-' || lpad(n::text, 6, '0') || '@bench.example' as address) as a
     where i.id = $1 returning username`,
    [issuerId, name, count],
  );
  await postgres.query('vacuum analyze users');
  return rows.map(({ username }) => username);
}

async function forgetBudgets({ postgres }: Gatelodge): Promise<void> {
  await postgres.query('delete from login_budgets');
}

/** Only the server knows the digests that addresses are stored by, so each is asked for once before. */
async function cap(
  gatelodge: Gatelodge,
  issuerId: string,
  ask: (email: string) => Promise<number>,
  known: readonly string[],
  unknown: readonly string[],
): Promise<void> {
  const { postgres } = gatelodge;
  const askAll = async (emails: readonly string[]) => {
    for (const [at, email] of emails.entries()) {
      if (at % (2 * inARow) === 0) await forgetBudgets(gatelodge);
      await ask(email);
    }
  };
  await askAll(known);
  await postgres.query(
    `insert into otp_devices (digest, account_id, issuer_id, user_id, address, created_at, expires_at)
     select sha256(a.address), a.account_id, a.issuer_id, u.id, a.address, now(), now() + interval '90 days'
     from otp_addresses a
     cross join lateral (
       select id from users where account_id = a.account_id and issuer_id = a.issuer_id limit 1) u
     where a.issuer_id = $1`,
    [issuerId],
  );
  await askAll(unknown);
  await postgres.query(`update otp_addresses set sends = '{}', public_sends = '{}' where issuer_id = $1`, [
    issuerId,
  ]);
  await postgres.query('update otp_mail_caps set takes = array_fill(now(), array[10])');
  for (const table of ['otp_addresses', 'otp_devices', 'otp_mail_caps', 'mails', 'events'])
    await postgres.query(`vacuum analyze ${table}`);
}

async function setSignUp(
  { port, authorization }: Gatelodge,
  issuerId: string,
  signUp: boolean,
): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/issuers/${issuerId}/login-settings`, {
    method: 'PATCH',
    headers: { Authorization: authorization, 'Content-Type': 'application/json' },
    body: JSON.stringify({ sign_up: signUp }),
  });
  if (!response.ok) throw new Error(`login-settings answered ${response.status}: ${await response.text()}`);
}

/** One connection, one request at a time: what an attacker who wants to measure would take. */
class Connection {
  readonly #socket: net.Socket;
  #received = '';
  #onAnswer: ((text: string) => void) | undefined;

  static open(port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => resolve(new Connection(socket)));
    });
  }

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      this.#received += chunk;
      const headEnd = this.#received.indexOf('\r\n\r\n');
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(this.#received)?.[1] ?? Number.NaN);
      if (headEnd === -1 || this.#received.length < headEnd + 4 + length) return;
      const text = this.#received;
      this.#received = '';
      this.#onAnswer?.(text);
    });
  }

  /** Milliseconds from the first byte sent to the last one received. */
  time(request: Buffer, status: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const sentAt = performance.now();
      this.#onAnswer = (text) => {
        const took = performance.now() - sentAt;
        if (text.startsWith(`HTTP/1.1 ${status}`)) resolve(took);
        else reject(new Error(`answered ${text.slice(0, 200)}`));
      };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
