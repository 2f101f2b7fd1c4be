import { expect } from 'vitest';
import type { ApiAnswer } from '../harness/api-client.ts';
import { waitFor } from '../harness/process.ts';
import { type AskedKey, type MixedLoad, madeBy } from './mixed-load.ts';

const atOnce = 8;

/** A creation without an answer: retried under its Idempotency-Key, it ends in exactly one key. */
async function retryUnanswered(load: MixedLoad, key: AskedKey): Promise<void> {
  const before = await load.readNamed(key.name);
  expect(before.length).toBeLessThanOrEqual(1);
  // A session of before the kill may hold the Idempotency-Key for a moment longer.
  const answer = await waitFor(() => load.create(key));
  key.made = madeBy(answer);
  if (before[0] === undefined) return;
  expect(key.made.id).toBe(before[0].id);
  expect(answer.headers.get('Idempotent-Replayed')).toBe('true');
}

/** Compares one key with what the database and verification say of it; from then on that is what is known of it. */
async function check(load: MixedLoad, key: AskedKey, rows: ApiAnswer['body'][]): Promise<void> {
  const { note, revocation, made } = key;
  expect(rows.map((row) => row.id)).toEqual([made!.id]);
  // Several changes may be without an answer, and any of them the last one that was made.
  expect(rows[0].metadata.note).toBeGreaterThanOrEqual(note.acknowledged);
  expect(rows[0].metadata.note).toBeLessThanOrEqual(note.sent);
  const isRevoked = rows[0].status === 'revoked';
  if (revocation !== 'sent') expect(isRevoked).toBe(revocation === 'acknowledged');
  expect(await load.verify(made!.secret)).toBe(isRevoked ? 'REVOKED' : 'VALID');
  key.note = { acknowledged: rows[0].metadata.note, sent: rows[0].metadata.note };
  key.revocation = isRevoked ? 'acknowledged' : 'none';
  key.isTouched = false;
}

/** Compares every key that the load has touched since the last time; nothing may be under way. */
export async function checkTouched(load: MixedLoad): Promise<void> {
  await eachOf(
    load.keys.filter((key) => key.isTouched),
    async (key) => {
      if (key.made === undefined) await retryUnanswered(load, key);
      await check(load, key, await load.readNamed(key.name));
    },
  );
  expect(load.unexpected).toEqual([]);
}

/** Compares every key that the load has ever asked for, and counts the events of each. */
export async function checkAll(load: MixedLoad): Promise<void> {
  const found = await load.readAll();
  await eachOf(load.keys, (key) => check(load, key, found.get(key.name) ?? []));
  const created = await load.countEvents('api-key.created');
  expect(load.keys.filter((key) => created.get(key.made!.id) !== 1)).toEqual([]);
  const revoked = await load.countEvents('api-key.revoked');
  const dead = load.keys.filter((key) => key.revocation === 'acknowledged');
  expect(dead.filter((key) => revoked.get(key.made!.id) !== 1)).toEqual([]);
  expect(dead.length).toBeGreaterThan(0);
}

/** A few at a time: more than the server has connections to Postgres would only wait. */
async function eachOf(keys: readonly AskedKey[], work: (key: AskedKey) => Promise<void>): Promise<void> {
  const left = [...keys];
  const worker = async () => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) await work(key);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
