import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { codeIn } from '../harness/delivered-mail.ts';
import { MailServer } from '../harness/mail-server.ts';
import { newAddress, SignIn } from '../harness/otp-client.ts';
import { Rows } from '../harness/rows.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { succeeded, TestIssuer } from '../harness/test-issuer.ts';

// Codes that were asked for by HTTP while the mail server was away.

let mailServer: MailServer;
let server: TestServer;
let rows: Rows;
const clock = new TestClock();
beforeAll(async () => {
  mailServer = await MailServer.start();
  server = await startTestServer({ clock, env: mailServer.env });
  rows = await Rows.open(server.database);
});
afterAll(async () => {
  await rows.close();
  await server.close();
  await mailServer[Symbol.asyncDispose]();
});

const waiting = () =>
  rows.query<{ id: string; attempts: number; due_at: Date; sealed: Buffer }>(
    'select id, attempts, due_at, sealed from mails order by id',
  );
/** So many wait for another try, and none is under way: those have a lease of 90 s. */
const whenDeferred = (count: number) =>
  vi.waitFor(
    async () => {
      const mails = await waiting();
      expect(mails).toHaveLength(count);
      for (const { attempts, due_at } of mails) {
        expect(attempts).toBeGreaterThan(0);
        expect(due_at.getTime()).toBeGreaterThan(clock.nowMs());
        expect(due_at.getTime()).not.toBe(clock.nowMs() + 90_000);
      }
    },
    { timeout: 20_000, interval: 20 },
  );

test('after an hour without a mail server the codes that are still good are sent, each once, and no other', async () => {
  const lasting = await TestIssuer.create(server, { preset: 'otp' });
  succeeded(
    await server.operator.api.patch(`${lasting.path}/login-settings`, { code_lifetime_seconds: 3_600 }),
  );
  const app = SignIn.withKey(server, await lasting.createKey());
  const usual = await TestIssuer.create(server, { preset: 'otp' });
  const usualApp = SignIn.withKey(server, await usual.createKey());
  const [replaced, patient, expired] = [newAddress('replaced'), newAddress('patient'), newAddress('expired')];
  const ask = async (asking: SignIn, email: string) => {
    expect((await asking.request(email)).status).toBe(200);
    return (await waiting()).at(-1)!.id;
  };

  await mailServer.stop();
  const first = await ask(app, replaced);
  await ask(usualApp, expired);
  await whenDeferred(2);
  clock.advance(120);
  const second = await ask(app, replaced);
  await ask(app, patient);
  // The one that was replaced is gone at once.
  expect((await waiting()).map(({ id }) => id)).not.toContain(first);
  // Most of an hour: the last minutes of the codes are for the try after it.
  for (let minutes = 2; minutes < 50; minutes += 6) {
    clock.advance(360);
    server.running.services.mails.wake();
    await vi.waitFor(
      async () => {
        for (const { due_at } of await waiting()) expect(due_at.getTime()).toBeGreaterThan(clock.nowMs());
      },
      { timeout: 20_000, interval: 20 },
    );
  }
  await whenDeferred(2);
  expect((await waiting()).map(({ id }) => id)).toContain(second);
  const expiries = await rows.query(`select issuer_id from events where type = 'mail.expired'`);
  expect(expiries).toEqual([{ issuer_id: usual.id }]);

  await mailServer.startAgain();
  // Past the longest wait for another try, and before the codes expire.
  clock.advance(361);
  server.running.services.mails.wake();
  for (const email of [replaced, patient]) {
    const mails = await mailServer.waitForMails(email);
    expect(mails).toHaveLength(1);
    expect((await app.verify(email, codeIn(mails[0]!))).status).toBe(200);
  }
  await vi.waitFor(async () => expect(await waiting()).toEqual([]), { timeout: 20_000, interval: 20 });
  for (const email of [replaced, patient]) expect(await mailServer.mailsTo(email)).toHaveLength(1);
  expect(await mailServer.mailsTo(expired)).toEqual([]);
});

// Attack: somebody has a copy of the database, taken while a mail with a code that is good waits in it.
test('the database holds no code that could be used while its mail waits', async () => {
  const issuer = await TestIssuer.create(server, { preset: 'otp' });
  const app = SignIn.withKey(server, await issuer.createKey());
  const email = newAddress('private-person');
  await mailServer.stop();
  expect((await app.request(email)).status).toBe(200);
  await whenDeferred(1);
  const tables = await rows.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'gatelodge'::regnamespace and relkind = 'r'`,
  );
  const dump = new Map<string, string>();
  for (const { name } of tables) {
    const [text] = await rows.query<{ text: string | null }>(
      `select string_agg(t::text, E'\\n') as text from ${name} t`,
    );
    dump.set(name, text!.text ?? '');
  }
  const { sealed } = (await waiting())[0]!;

  await mailServer.startAgain();
  clock.advance(30);
  server.running.services.mails.wake();
  const [mail] = await mailServer.waitForMails(email);
  const code = codeIn(mail!);
  expect(dump.get('mails')).toContain(sealed.toString('hex'));
  for (const [name, text] of dump) {
    // Bytes in hexadecimal and fractions of seconds may hold the same digits by chance.
    expect(text, name).not.toMatch(new RegExp(`(?<![0-9a-z.])${code}(?![0-9a-z])`));
    expect(text, name).not.toContain('private-person');
    expect(text, name).not.toContain(Buffer.from(email).toString('hex'));
  }
  for (const word of [code, email, 'private-person']) expect(sealed.includes(word)).toBe(false);
  // It was the one that counts.
  expect((await app.verify(email, code)).status).toBe(200);
});
