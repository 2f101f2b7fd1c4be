import { type Kysely, type RawBuilder, sql } from 'kysely';
import type pg from 'pg';
import { carryOutStatement } from '../http/carry-out.ts';
import type { Transaction } from '../postgres/database.ts';
import type { JsonObject, Schema } from '../postgres/schema.ts';
import type { UserRow } from '../users/user-store.ts';
import { otpLimits } from './otp-limits.ts';

/** An issuer in its account; every statement here is of one. */
export interface IssuerScope {
  readonly accountId: string;
  readonly issuerId: string;
}

/** Who asks for a code, by keyed digests. */
export interface SendSubjects {
  readonly address: Buffer;
  readonly key: Buffer;
  readonly ip: Buffer;
  /** What the device token may be stored as; empty without one. */
  readonly devices: readonly Buffer[];
  /** The IP address is that of somebody who signs in, not of a server that asks for many. */
  readonly isBrowser: boolean;
}

/** That it is taken, or seconds to wait. */
export type SendTaken =
  | { readonly isTaken: true }
  | {
      readonly isTaken: false;
      readonly waitSeconds: number;
      /** What refuses it was taken by a clock that was ahead: `settleSends` is due. */
      readonly isAhead: boolean;
    };

/**
 * Takes a mail from every budget of the account that it belongs to, or from none. In the transaction that queues the mail,
 * so that nothing is taken for one that is not.
 */
export async function takeSend(
  tx: Transaction,
  { accountId, issuerId }: IssuerScope,
  subjects: SendSubjects,
  now: Date,
): Promise<SendTaken> {
  const { rows } = await sql<{ wait_seconds: number; is_ahead: boolean }>`
    select wait_seconds, is_ahead from take_login_budgets_v3(
      ${accountId}, ${issuerId}, ${subjects.address}, ${subjects.key}, ${subjects.ip},
      ${byteas(subjects.devices)}, ${now}, make_interval(secs => ${otpLimits.resendSeconds}),
      ${otpLimits.sendsAnHour}, ${otpLimits.sendsAnHour - otpLimits.sendsKeptAnHour},
      ${otpLimits.keyMailsAnHour}, ${otpLimits.keyMailsAnHour - otpLimits.keyMailsKeptAnHour},
      ${otpLimits.ipMailsAnHour}, ${otpLimits.crowdedFromMailsAnHour},
      ${subjects.isBrowser ? otpLimits.crowdedIpMailsAnHour : otpLimits.ipMailsAnHour})`.execute(tx);
  const { wait_seconds: waitSeconds, is_ahead: isAhead } = rows[0]!;
  return waitSeconds > 0 ? { isTaken: false, waitSeconds, isAhead } : { isTaken: true };
}

/**
 * Lets what a clock that was ahead has taken from these budgets count as taken now, so that they are free again an hour
 * later. After the transaction that they have refused, whose changes are gone.
 */
export async function settleSends(
  db: Kysely<Schema>,
  { accountId, issuerId }: IssuerScope,
  { address, key, ip }: Pick<SendSubjects, 'address' | 'key' | 'ip'>,
  now: Date,
): Promise<void> {
  await sql`
    select settle_login_budgets(${accountId}, ${issuerId}, ${address}, ${key}, ${ip}, ${now})`.execute(db);
}

/** A mail to an address, as the cap over all issuers knows it. */
export interface CappedMail {
  readonly address: Buffer;
  readonly everywhere: Buffer;
  /** The issuer itself has nothing against it; else nothing is taken. */
  readonly isWanted: boolean;
}

/**
 * Takes a mail from the cap of its address over all issuers. After `takeSend`, in the same transaction. Mails of sandbox
 * issuers reach nobody and have no cap.
 *
 * @returns whether there is to be no mail, because the address has had too many and has never signed in here
 */
export async function takeMailCap(
  tx: Transaction,
  { issuerId }: IssuerScope,
  { address, everywhere, isWanted }: CappedMail,
  now: Date,
): Promise<boolean> {
  const { rows } = await sql<{ is_capped: boolean }>`
    select take_mail_cap(
      ${issuerId}, ${address}, ${everywhere}, ${isWanted}, ${now}, ${otpLimits.addressMailsAnHour}
    ) as is_capped`.execute(tx);
  return rows[0]!.is_capped;
}

/** A code as it is stored. */
export interface StoredCode {
  readonly id: string;
  readonly mac: Buffer;
  readonly generation: number;
  readonly expiresAt: Date;
}

/** What becomes of the address's last code: the new one takes its place, or it is kept. */
export interface PutCode extends StoredCode {
  /**
   * There is no mail, and whoever guesses is told as if there were a new code: who can't mail somebody any more can't take
   * the code of the last mail either.
   */
  readonly isCapped: boolean;
}

/**
 * Puts a code in the place of the address's last one, which is then worth nothing; a capped one leaves the last one, with
 * the guesses that it has had. One statement for both, so that its time tells neither. `takeSend` has made the row.
 *
 * @returns the id of the code that is worth nothing now; null where there is none
 */
export async function putCode(
  tx: Transaction,
  { accountId, issuerId }: IssuerScope,
  address: Buffer,
  { id, mac, generation, expiresAt, isCapped }: PutCode,
): Promise<string | null> {
  const { rows } = await sql<{ last: string | null }>`
    with last as materialized (
      select code_id from otp_addresses
      where account_id = ${accountId} and issuer_id = ${issuerId} and address = ${address}
    )
    update otp_addresses set
      code_id = case when ${isCapped} then code_id else ${id} end,
      mac = case when ${isCapped} then mac else ${mac} end,
      mac_generation = case when ${isCapped} then mac_generation else ${generation} end,
      code_expires_at = case when ${isCapped} then code_expires_at else ${expiresAt} end,
      code_used_at = case when ${isCapped} then code_used_at end,
      code_guesses = case when ${isCapped} then code_guesses else 0 end,
      window_ends_at = ${expiresAt},
      window_guesses = 0
    where account_id = ${accountId} and issuer_id = ${issuerId} and address = ${address}
    returning case when ${isCapped} then ${id} else (select code_id from last) end as last`.execute(tx);
  const row = rows[0];
  if (row === undefined) throw new Error('the address of a code has no row, so its guesses have no budget');
  return row.last;
}

/** A guess that is counted, and what it has to be compared with; or how long there can be none. */
export type Guess =
  | { readonly isCounted: false; readonly waitSeconds: number }
  | {
      readonly isCounted: true;
      readonly attemptsLeft: number;
      /** What is stored of the device, where it has signed in with this address before. */
      readonly device: Buffer | null;
      /** null where no guess can be right. */
      readonly code: { readonly id: string; readonly mac: Buffer; readonly generation: number } | null;
    };

type GuessRow = {
  wait_seconds: number;
  attempts_left: number;
  device: Buffer | null;
  code_id: string | null;
  mac: Buffer | null;
  mac_generation: number | null;
};

/**
 * Counts a guess, before it is compared: one guarded statement on its own, which no failure of what comes after takes
 * back, and which answers 200 that come at once as it answers 200 one after the other.
 *
 * @throws not_found where the issuer has been deleted
 */
export async function takeGuess(
  pool: pg.Pool,
  { accountId, issuerId }: IssuerScope,
  { address, ip, devices }: Pick<SendSubjects, 'address' | 'ip' | 'devices'>,
  now: Date,
): Promise<Guess> {
  const guess = {
    name: 'take_otp_guess_v2',
    text: `select wait_seconds, attempts_left, device, code_id, mac, mac_generation
      from take_otp_guess_v2($1, $2, $3, $4, $5, $6, $7, make_interval(secs => $8), make_interval(secs => $9),
        $10, $11, $12, $13, $14, $15)`,
    values: [
      accountId,
      issuerId,
      address,
      ip,
      devices,
      now,
      otpLimits.guessesOfCode,
      usualLifetimeSeconds,
      longestCodeSeconds,
      otpLimits.guessesAnHour,
      otpLimits.guessesADay,
      otpLimits.guessesAnHour - otpLimits.keptAnHour,
      otpLimits.guessesADay - otpLimits.keptADay,
      otpLimits.ipGuessesAnHour,
      otpLimits.ipGuessesAnHour - otpLimits.ipGuessesKeptAnHour,
    ],
  };
  const { rows } = await carryOutStatement(() => pool.query<GuessRow>(guess));
  const row = rows[0]!;
  if (row.wait_seconds > 0) return { isCounted: false, waitSeconds: row.wait_seconds };
  const { code_id: id, mac, mac_generation: generation } = row;
  return {
    isCounted: true,
    attemptsLeft: row.attempts_left,
    device: row.device,
    code: id === null || mac === null || generation === null ? null : { id, mac, generation },
  };
}

/**
 * How long no guess is taken of whoever asks for a new code now, in seconds: what is counted of the last code begins anew
 * with it, and the budgets of the address and the IP address do not.
 */
export async function secondsToNextGuess(
  tx: Transaction,
  { accountId, issuerId }: IssuerScope,
  { address, ip, devices }: Pick<SendSubjects, 'address' | 'ip' | 'devices'>,
  now: Date,
): Promise<number> {
  const { rows } = await sql<
    Record<'guesses' | 'strangers' | 'of_ip' | 'strangers_of_ip', Date[] | null> & { is_known: boolean }
  >`
    select a.guesses, a.public_guesses as strangers, b.takes as of_ip, b.public_takes as strangers_of_ip, exists (
      select from otp_devices d where d.account_id = ${accountId} and d.issuer_id = ${issuerId}
        and d.digest = any (${byteas(devices)}) and d.address = ${address} and d.expires_at > ${now}) as is_known
    from (select) as always
    left join otp_addresses a on a.account_id = ${accountId} and a.issuer_id = ${issuerId} and a.address = ${address}
    left join login_budgets b on b.account_id = ${accountId} and b.kind = 'guess' and b.subject = ${ip}`.execute(
    tx,
  );
  const { guesses, strangers, of_ip: ofIp, strangers_of_ip: strangersOfIp, is_known: isKnown } = rows[0]!;
  const of = otpLimits;
  const waits = [
    waitMs(guesses, of.guessesAnHour, hourMs, now),
    waitMs(guesses, of.guessesADay, dayMs, now),
    waitMs(ofIp, of.ipGuessesAnHour, hourMs, now),
  ];
  if (!isKnown)
    waits.push(
      waitMs(strangers, of.guessesAnHour - of.keptAnHour, hourMs, now),
      waitMs(strangers, of.guessesADay - of.keptADay, dayMs, now),
      waitMs(strangersOfIp, of.ipGuessesAnHour - of.ipGuessesKeptAnHour, hourMs, now),
    );
  return Math.ceil(Math.max(...waits) / 1000);
}

/** As `wait_for_budget` has it: the takes are in order, and with as many in the span there is no room. */
function waitMs(takes: readonly Date[] | null, most: number, spanMs: number, now: Date): number {
  const first = takes?.at(-most);
  return first === undefined ? 0 : Math.max(0, first.getTime() + spanMs - now.getTime());
}

/** How long guesses are counted together that are made where there is no code. */
const usualLifetimeSeconds = 600;

/** The most that an issuer may set. */
const longestCodeSeconds = 3_600;

/** A code, and the address that it was mailed to. */
export interface MailedCode {
  readonly codeId: string;
  readonly address: Buffer;
  /** As users have it. */
  readonly usernameKey: string;
}

/** What using a code up has come to. */
export interface Redeemed {
  /** What the issuer has set of how its users sign in. */
  readonly storedSettings: JsonObject | null;
  /** Whoever has the address; null where nobody has yet. */
  readonly user: UserRow | null;
  /** The device is remembered as the user's. */
  readonly isDeviceKept: boolean;
}

/**
 * Uses a code up, for whoever comes first: everybody else finds it used. Whoever guesses next is told what is left as if no
 * code had been asked for, for the count would tell who has just signed in. What comes next needs the user and the settings, so
 * they are read along; and the device is remembered, if there is a user, for another while or from now on.
 *
 * @param device what is to be stored of it
 *
 * @returns null where it was somebody else
 */
export async function redeemCode(
  tx: Transaction,
  { accountId, issuerId }: IssuerScope,
  { codeId, address, usernameKey }: MailedCode,
  device: Buffer,
  now: Date,
): Promise<Redeemed | null> {
  const { rows } = await sql<RedeemedRow>`
    with used as (
      -- Guesses are told from the start again, as where nobody has ever asked. The budgets stay as they are.
      update otp_addresses set code_used_at = ${now}, window_guesses = 0, window_ends_at = null
      where account_id = ${accountId} and issuer_id = ${issuerId} and address = ${address} and code_id = ${codeId}
        and code_used_at is null and code_expires_at > ${now}
      returning account_id, issuer_id
    ), found as (
      select u.id, u.account_id, u.issuer_id, u.username_type, u.username, u.username_key, u.profile, u.metadata, u.status,
        u.version, u.created_at, u.updated_at
      from used
      join users u on u.account_id = used.account_id and u.issuer_id = used.issuer_id
        and u.username_type = 'email' and u.username_key = ${usernameKey}
      -- Nobody changes the address before the commit: its devices go with it.
      for key share of u
    ), kept as (
      insert into otp_devices as d (digest, account_id, issuer_id, user_id, address, created_at, expires_at)
      select ${device}, f.account_id, f.issuer_id, f.id, ${address}, ${now}, ${expiryOfDevice(now)}
      from found f where f.status = 'active'
      on conflict (digest) do update set expires_at = excluded.expires_at where d.user_id = excluded.user_id
      returning d.digest
    )
    select l.settings as stored_settings, exists (select from kept) as is_device_kept, f.id, f.account_id, f.issuer_id,
      f.username_type, f.username, f.username_key, f.profile, f.metadata, f.status, f.version, f.created_at, f.updated_at
    from used
    left join login_settings l on l.account_id = used.account_id and l.issuer_id = used.issuer_id
    left join found f on true`.execute(tx);
  const row = rows[0];
  if (row === undefined) return null;
  const { stored_settings: storedSettings, is_device_kept: isDeviceKept, ...user } = row;
  return { storedSettings, isDeviceKept, user: user.id === null ? null : user };
}

type RedeemedRow = { stored_settings: JsonObject | null; is_device_kept: boolean } & (UserRow | { id: null });

/** A device as it is stored. */
export interface StoredDevice {
  readonly digest: Buffer;
  readonly userId: string;
  readonly address: Buffer;
}

/** Remembers the device of a user who has just been made. */
export async function insertDevice(
  tx: Transaction,
  { accountId, issuerId }: IssuerScope,
  { digest, userId, address }: StoredDevice,
  now: Date,
): Promise<void> {
  await tx
    .insertInto('otp_devices')
    .values({
      digest,
      account_id: accountId,
      issuer_id: issuerId,
      user_id: userId,
      address,
      created_at: now,
      expires_at: expiryOfDevice(now),
    })
    .execute();
}

const hourMs = 3_600_000;
const dayMs = 86_400_000;

/** At the end of a day, so that signing in again on the same day changes nothing that is indexed. */
function expiryOfDevice(now: Date): Date {
  return new Date((Math.ceil(now.getTime() / dayMs) + otpLimits.deviceDays) * dayMs);
}

function byteas(values: readonly Buffer[]): RawBuilder<unknown> {
  return sql`${values}::bytea[]`;
}
