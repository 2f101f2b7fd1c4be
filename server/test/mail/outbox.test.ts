import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { NewMail } from '../../src/mail/mail-outbox.ts';
import { claimMails, deleteWaiting } from '../../src/mail/mail-store.ts';
import { retireInstallationSecret, rotateInstallationSecret } from '../../src/secrets/secret-rotation.ts';
import { dumpOf } from '../harness/account-dump.ts';
import { type Customer, createCustomer } from '../harness/customer.ts';
import { MailServer } from '../harness/mail-server.ts';
import { Needles } from '../harness/needles.ts';
import { NodeProcess } from '../harness/node-process.ts';
import { freePort, waitFor } from '../harness/process.ts';
import { type EventRow, Rows } from '../harness/rows.ts';
import { scaled } from '../harness/scale.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { succeeded } from '../harness/test-issuer.ts';

let mailServer: MailServer;
let node: TestServer;
let rows: Rows;
let customer: Customer;
let issuerId: string;
const clock = new TestClock();
beforeAll(async () => {
  mailServer = await MailServer.start();
  node = await startTestServer({ clock, env: mailServer.env });
  rows = await Rows.open(node.database);
  customer = await createCustomer(node);
  issuerId = (await customer.api.create('/v1/issuers', { name: 'Acme' })).id;
});
afterEach(async () => {
  await rows.query('delete from mails');
});
afterAll(async () => {
  await rows.close();
  await node.close();
  await mailServer[Symbol.asyncDispose]();
});

let counter = 0;
const someone = () => `someone-${counter++}@example.com`;

interface Queued {
  to: string;
  members?: Partial<NewMail>;
  at?: TestServer;
  wakes?: boolean;
}

/** Queues a mail as sign-in does. */
async function queue({ to, members = {}, at = node, wakes = true }: Queued): Promise<void> {
  const { database, mails, clock: now } = at.running.services;
  await database.withAccount(members.accountId ?? customer.id, (tx) =>
    mails.queue(tx, {
      accountId: customer.id,
      issuerId,
      environment: 'live',
      mail: {
        to,
        subject: 'Your code',
        text: '314159 is your code.',
        html: '<p>314159</p>',
        senderName: null,
      },
      notAfterMs: now.nowMs() + 600_000,
      subject: { type: 'issuer', id: issuerId },
      ...members,
    }),
  );
  if (wakes) mails.wake();
}

const waiting = () =>
  rows.query<{ attempts: number; due_at: Date | null }>('select attempts, due_at from mails order by id');
const eventually = (ask: () => Promise<void>) =>
  vi.waitFor(ask, { timeout: scaled(20_000, 300_000), interval: 20 });
const whenAllAreDone = () => eventually(async () => expect(await waiting()).toEqual([]));
/** Each has been tried so often, and waits. */
const whenTried = (attempts: number) =>
  eventually(async () => {
    const left = await waiting();
    expect(left.every((mail) => mail.attempts >= attempts && mail.due_at! > clock.now())).toBe(true);
    // What is under way has a lease of 90 s; what waits for another try is due before.
    expect(left.every((mail) => mail.due_at!.getTime() !== clock.nowMs() + 90_000)).toBe(true);
  });
const mailEvents = () => rows.query<EventRow>(`select * from events where type like 'mail.%' order by id`);

async function metricOf(name: string, at = node): Promise<number> {
  const answer = await at.operator.api.get('/metrics', {
    Authorization: 'Bearer metrics-token-of-the-tests-0123456789',
  });
  return Number(
    answer.text
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')
      .at(-1),
  );
}

describe('a queued mail', () => {
  test('is delivered once the transaction has committed, and nothing of it stays', async () => {
    const to = someone();
    await queue({ to });
    expect((await mailServer.waitForMails(to)).map(({ text }) => text.trim())).toEqual([
      '314159 is your code.',
    ]);
    await whenAllAreDone();
    expect(await metricOf('gatelodge_mails_total{outcome="sent"}')).toBeGreaterThan(0);
  });

  test('of a transaction that fails is never there', async () => {
    const to = someone();
    const { database, mails } = node.running.services;
    const work = database.withAccount(customer.id, async (tx) => {
      await mails.queue(tx, {
        ...{ accountId: customer.id, issuerId, environment: 'live', notAfterMs: clock.nowMs() + 1000 },
        mail: { to, subject: 's', text: 't', html: 'h', senderName: null },
        subject: { type: 'issuer', id: issuerId },
      });
      throw new Error('what follows fails');
    });
    await expect(work).rejects.toThrow('what follows fails');
    expect(await waiting()).toEqual([]);
  });

  // Attack: whoever gets hold of a dump of the database, or of its files, signs in with the codes in it.
  test('can’t be read in the database: neither the code nor the address, nor a guess at them', async () => {
    const needles = new Needles();
    needles.addSecret('the address', 'very-private-person@example.com');
    needles.addSecret('the text', '27182818 is the code of the canary mail');
    await queue({
      to: 'very-private-person@example.com',
      wakes: false,
      members: {
        environment: 'sandbox',
        mail: {
          to: 'very-private-person@example.com',
          subject: 'The canary mail',
          text: '27182818 is the code of the canary mail',
          html: '<p>27182818</p>',
          senderName: 'canary',
        },
      },
    });
    const dump = JSON.stringify(await dumpOf(rows, { accountId: customer.id }));
    expect(dump).toContain('mail_');
    expect(needles.findIn(dump, 'the database')).toEqual([]);
    const [row] = await rows.query<{ sealed: Buffer }>('select sealed from mails');
    expect(needles.findIn(row!.sealed, 'the sealed mail')).toEqual([]);
    for (const word of ['27182818', 'private', 'canary']) expect(dump).not.toContain(word);
  });

  // Attack: whoever can write to the database has a mail of one tenant shown or sent as one of another's.
  test('does not open in another row, issuer or account', async () => {
    const other = await createCustomer(node);
    const { id: theirs } = await other.api.create('/v1/issuers', { name: 'Theirs' });
    const moved = someone();
    await queue({ to: moved, wakes: false, members: { environment: 'sandbox' } });
    await rows.query(
      `update mails set account_id = $1, issuer_id = $2, environment = 'live', due_at = now() - interval '30 days'`,
      [other.id, theirs],
    );
    await whenAllAreDone();
    expect(await mailServer.mailsTo(moved)).toEqual([]);
    expect((await mailEvents()).at(-1)).toMatchObject({
      account_id: other.id,
      type: 'mail.failed',
      data: { reason: 'unreadable', reply_code: null, attempts: 1 },
    });
  });

  test('keeps its generation of the secret from being retired until it is gone', async () => {
    const { pool } = node.running.services;
    const retire = () => retireInstallationSecret(pool, 'mail', 1);
    await queue({ to: someone(), wakes: false, members: { environment: 'sandbox' } });
    await rotateInstallationSecret(pool, node.running.services.secrets.masterKey, 'mail');
    await rows.query(`update installation_secrets set created_at = created_at - interval '1 hour'`);
    await expect(retire()).rejects.toThrow(/^1 mails .*mail generation 1/);
    await rows.query('delete from mails');
    await retire();
    // What is queued from now on is under the next one.
    await node.running.services.secrets.reload();
    const to = someone();
    await queue({ to });
    expect((await mailServer.waitForMails(to)).length).toBe(1);
  });

  test('is gone once nobody has any use for it, and no other is', async () => {
    const { database } = node.running.services;
    const deferred = new Date(clock.nowMs() + 60_000);
    for (const id of ['otp_last', 'otp_other'])
      await queue({
        to: someone(),
        wakes: false,
        members: { subject: { type: 'otp_code', id }, isWithheld: true },
      });
    await rows.query('update mails set due_at = $1, attempts = 1', [deferred]);
    const left = await rows.query<{ subject_id: string }>('select subject_id from mails');
    await database.withAccount(customer.id, (tx) =>
      deleteWaiting(tx, { accountId: customer.id, issuerId }, 'otp_last'),
    );
    expect(await rows.query('select subject_id from mails')).toEqual(
      left.filter(({ subject_id }) => subject_id !== 'otp_last'),
    );
  });

  // Attack: a node with a mailbox is given a mail server, and what it had queued for its mailbox goes to real people.
  test('of a sandbox issuer reaches nobody, whatever it was queued for, and is kept', async () => {
    const to = someone();
    await queue({ to, wakes: false, members: { environment: 'sandbox' } });
    await rows.query('update mails set due_at = created_at');
    node.running.services.mails.wake();
    await eventually(async () => expect(await waiting()).toEqual([{ attempts: 1, due_at: null }]));
    expect(await mailServer.mailsTo(to)).toEqual([]);
  });

  test('that is withheld reaches nobody, and leaves nothing', async () => {
    const to = someone();
    await queue({ to, members: { isWithheld: true } });
    await whenAllAreDone();
    expect(await mailServer.mailsTo(to)).toEqual([]);
  });

  test('is in no other tenant’s reach, by row-level security', async () => {
    const other = await createCustomer(node);
    await queue({ to: someone(), wakes: false, members: { environment: 'sandbox' } });
    const { database } = node.running.services;
    const seen = await database.withAccount(other.id, (tx) => tx.selectFrom('mails').selectAll().execute());
    expect(seen).toEqual([]);
    expect((await waiting()).length).toBe(1);
  });
});

describe('exactly one worker', () => {
  test('of 50 that claim at the same time gets each mail', async () => {
    const { database } = node.running.services;
    for (let round = 0; round < scaled(5, 100); round++) {
      await queue({ to: someone(), wakes: false, members: { environment: 'sandbox' } });
      // Due a moment ago for these, and in a hundred years for the node itself.
      const moment = new Date(clock.nowMs() + 100 * 365 * 86_400_000);
      await rows.query('update mails set due_at = $1', [moment]);
      const claims = await Promise.all(
        Array.from({ length: 50 }, () =>
          claimMails(database.lookups, moment, new Date(moment.getTime() + 90_000), 5, {
            underWay: [],
            mostEach: 4,
            after: '',
          }).catch(() => null),
        ),
      );
      expect(claims.flatMap((claim) => claim?.mails ?? []).length).toBe(1);
      await rows.query('delete from mails');
    }
  });

  test(
    'of four nodes sends each of many mails, each once',
    async () => {
      const nodes = [node];
      for (let more = 0; more < 3; more++)
        nodes.push(await startTestServer({ nodeOf: node, clock, env: mailServer.env }));
      const addresses = Array.from({ length: scaled(40, 1000) }, someone);
      for (let from = 0; from < addresses.length; from += 20) {
        const some = addresses.slice(from, from + 20);
        await Promise.all(some.map((to, index) => queue({ to, at: nodes[index % 4]! })));
      }
      for (const { running } of nodes) running.services.mails.wake();
      await whenAllAreDone();
      for (const added of nodes.slice(1)) await added.close();
      await eventually(async () => {
        const delivered = (await mailServer.mails()).flatMap(({ envelopeTo }) => envelopeTo);
        for (const to of addresses) expect(delivered.filter((address) => address === to)).toEqual([to]);
      });
    },
    scaled(60_000, 600_000),
  );

  test('sends what one that was killed between claim and send has left', async () => {
    const silent = await SilentServer.start();
    const to = someone();
    const others = await startTestServer({
      clock: new TestClock(),
      // It defers the mail at once; whoever has a later clock goes on.
      env: { ...mailServer.env, SMTP_URL: `smtp://localhost:${await freePort()}` },
    });
    const theirRows = await Rows.open(others.database);
    const left = () => theirRows.query<{ attempts: number }>('select attempts from mails');
    const { accountId } = others.operator;
    await queue({
      to,
      at: others,
      members: { accountId, issuerId: others.demo.issuerId, notAfterMs: Date.now() + 3_600_000 },
    });
    await eventually(async () => expect((await left())[0]?.attempts).toBe(1));
    {
      await using doomed = await NodeProcess.start({
        DATABASE_URL: others.database.appUrl,
        GATELODGE_MASTER_KEY: others.masterKey,
        ...mailServer.env,
        SMTP_URL: `smtp://localhost:${silent.port}`,
      });
      await waitFor(async () => (await left())[0]?.attempts === 2 || null);
      await waitFor(() => silent.connections > 0 || null);
      doomed.process.child.kill('SIGKILL');
      await doomed.process.ended;
    }
    // The lease of 90 s is over for this one.
    const heir = await startTestServer({
      nodeOf: others,
      clock: new TestClock(new Date(Date.now() + 100_000).toISOString()),
      env: mailServer.env,
    });
    expect((await mailServer.waitForMails(to)).length).toBe(1);
    await eventually(async () => expect(await left()).toEqual([]));
    await heir.close();
    await theirRows.close();
    await others.close();
    await silent.close();
    expect((await mailServer.mailsTo(to)).length).toBe(1);
  });
});

describe('while the mail server is away', () => {
  test('for an hour, mails wait and then go out once; expired ones do not', async () => {
    await mailServer.stop();
    const lasting = Array.from({ length: 5 }, someone);
    const short = Array.from({ length: 3 }, someone);
    for (const to of lasting) await queue({ to, members: { notAfterMs: clock.nowMs() + 2 * 3_600_000 } });
    for (const to of short) await queue({ to, members: { notAfterMs: clock.nowMs() + 600_000 } });
    await whenTried(1);
    const before = await mailEvents();
    for (let minute = 0; minute < 60; minute += 5) {
      clock.advance(300);
      node.running.services.mails.wake();
      await whenTried(1);
    }
    expect((await waiting()).length).toBe(lasting.length);
    const events = (await mailEvents()).slice(before.length);
    expect(events.map(({ type }) => type)).toEqual(short.map(() => 'mail.expired'));
    expect(events[0]).toMatchObject({
      account_id: customer.id,
      issuer_id: issuerId,
      environment: 'live',
      subject_type: 'issuer',
      subject_id: issuerId,
      actor: { type: 'system', id: 'mail' },
    });
    await mailServer.startAgain();
    clock.advance(400);
    node.running.services.mails.wake();
    for (const to of lasting) expect((await mailServer.waitForMails(to)).length).toBe(1);
    await whenAllAreDone();
    for (const to of lasting) expect((await mailServer.mailsTo(to)).length).toBe(1);
    for (const to of short) expect(await mailServer.mailsTo(to)).toEqual([]);
    expect(JSON.stringify(await mailEvents())).not.toContain('example.com');
    expect(node.logLines.join()).toContain('can’t be reached');
    expect(node.logLines.join()).not.toMatch(/someone-\d/);
  });

  test('its state is told once a minute, not once a mail', async () => {
    await mailServer.stop();
    clock.advance(120);
    const told = () => node.logLines.filter((line) => line.includes('can’t be reached')).length;
    const before = told();
    for (let count = 0; count < 10; count++) await queue({ to: someone() });
    await whenTried(1);
    expect(told()).toBe(before + 1);
    await mailServer.startAgain();
  });
});

describe('a mail that the server refuses', () => {
  test('for good has failed at once, in an event and the log, without the address', async () => {
    await queue({ to: 'refused@example.com' });
    await whenAllAreDone();
    const event = (await mailEvents()).at(-1)!;
    expect(event).toMatchObject({
      type: 'mail.failed',
      issuer_id: issuerId,
      data: {
        mail_id: expect.stringMatching(/^mail_/),
        reason: 'recipient_refused',
        reply_code: 550,
        attempts: 1,
      },
    });
    expect(JSON.stringify(event)).not.toContain('@');
    expect(node.logLines.join()).not.toContain('refused@');
    const { body } = await customer.api.get('/v1/events?type=mail.failed&limit=1');
    expect(body.data[0]).toMatchObject({ type: 'mail.failed', subject: { type: 'issuer', id: issuerId } });
    expect(await metricOf('gatelodge_mails_total{outcome="failed"}')).toBeGreaterThan(0);
  });

  test('for now is tried again, later each time', async () => {
    await queue({ to: 'later@example.com' });
    for (let attempt = 1; attempt <= 3; attempt++) {
      await whenTried(attempt);
      const [mail] = await waiting();
      const seconds = (mail!.due_at!.getTime() - clock.nowMs()) / 1000;
      expect(seconds).toBeGreaterThanOrEqual(5 * 2 ** (attempt - 1) * 0.8);
      expect(seconds).toBeLessThanOrEqual(5 * 2 ** (attempt - 1) * 1.2);
      clock.advance(seconds);
      node.running.services.mails.wake();
    }
  });
});

describe('what is suspended or deleted', () => {
  test('a suspended issuer’s mails wait, and go out when it is active again', async () => {
    const to = someone();
    const { id } = await customer.api.create('/v1/issuers', { name: 'Suspended' });
    succeeded(await customer.api.post(`/v1/issuers/${id}/suspend`));
    await queue({ to, members: { issuerId: id } });
    const attentive = someone();
    await queue({ to: attentive });
    await mailServer.waitForMails(attentive);
    expect((await waiting()).map(({ attempts }) => attempts)).toEqual([0]);
    succeeded(await customer.api.post(`/v1/issuers/${id}/activate`));
    node.running.services.mails.wake();
    expect((await mailServer.waitForMails(to)).length).toBe(1);
  });

  test('an issuer takes its mails with it', async () => {
    const to = someone();
    const { id } = await customer.api.create('/v1/issuers', { name: 'Doomed' });
    await queue({ to, wakes: false, members: { issuerId: id, environment: 'sandbox' } });
    succeeded(await customer.api.delete(`/v1/issuers/${id}`));
    await whenAllAreDone();
    expect(await mailServer.mailsTo(to)).toEqual([]);
  });

  test('an account takes its mails with it', async () => {
    const doomed = await createCustomer(node, { name: 'Doomed' });
    const { id } = await doomed.api.create('/v1/issuers', { name: 'Doomed' });
    const to = someone();
    await queue({
      to,
      wakes: false,
      members: { accountId: doomed.id, issuerId: id, environment: 'sandbox' },
    });
    succeeded(await node.operator.api.delete(`/v1/accounts/${doomed.id}?name=Doomed&force=true`));
    await whenAllAreDone();
    expect(await mailServer.mailsTo(to)).toEqual([]);
  });
});

/** Takes connections and says nothing, as a mail server that hangs. */
class SilentServer {
  readonly port: number;
  readonly #close: () => Promise<void>;
  readonly #sockets: Set<Socket>;

  static async start(): Promise<SilentServer> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SilentServer((server.address() as AddressInfo).port, sockets, async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    });
  }

  private constructor(port: number, sockets: Set<Socket>, close: () => Promise<void>) {
    this.port = port;
    this.#sockets = sockets;
    this.#close = close;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  close(): Promise<void> {
    return this.#close();
  }
}
