import { expect } from 'vitest';
import type { ApiAnswer, ApiClient } from '../harness/api-client.ts';
import type { MeteredLoad } from './metered-load.ts';
import type { MeteredWorld } from './metered-world.ts';

/** Decisions by key and code. */
export type Counts = Map<string, Map<string, number>>;

/**
 * Nothing acknowledged is missing, and nothing is counted beyond what was cut off: in the usage and in the windows of
 * limits.
 *
 * @param load at rest, some of its requests perhaps without an answer
 */
export async function checkBounds(load: MeteredLoad, world: MeteredWorld): Promise<void> {
  const metered = await meteredByKey(world);
  const open = Map.groupBy(load.unanswered, ({ of }) => of.keyId);
  const outside: string[] = [];
  for (const keyId of keysOf(world)) {
    const unanswered = open.get(keyId) ?? [];
    const acknowledged = load.acknowledged.get(keyId) ?? new Map<string, number>();
    const counted = metered.get(keyId) ?? new Map<string, number>();
    for (const code of new Set([...acknowledged.keys(), ...counted.keys()])) {
      const least = acknowledged.get(code) ?? 0;
      const most = least + unanswered.filter(({ of }) => of.codes.includes(code)).length;
      const count = counted.get(code) ?? 0;
      if (count < least || count > most) outside.push(`${keyId} ${code}: ${count}, not ${least} to ${most}`);
    }
    const most = sum(acknowledged) + unanswered.length;
    if (sum(counted) > most) outside.push(`${keyId}: ${sum(counted)} in all, more than ${most}`);
  }
  expect(outside).toEqual([]);
  expect(load.unexpected).toEqual([]);
  for (const [name, { limit, remaining }] of await windowsOf(load, world)) {
    const used = load.used.get(name) ?? 0;
    const open = load.unanswered.filter(({ of }) => of.limits.includes(name));
    const most = used + open.reduce((total, { of }) => total + of.cost, 0);
    const least = Math.max(0, limit - most);
    expect([name, remaining >= least && remaining <= limit - used, { remaining, least, used }]).toEqual([
      name,
      true,
      expect.anything(),
    ]);
  }
}

/** Usage tells exactly what the clients were told, whichever way it is asked, and so do the windows of limits. */
export async function checkExact(load: MeteredLoad, world: MeteredWorld): Promise<void> {
  expect(load.unanswered).toEqual([]);
  expect(load.unexpected).toEqual([]);
  const { api, issuer, cases } = world;
  const acknowledged = namesOf(load.acknowledged);
  expect(namesOf(await meteredByKey(world))).toEqual(acknowledged);
  const one: Counts = new Map();
  for (const keyId of keysOf(world)) {
    const { keyPath } = cases.find((each) => each.keyId === keyId)!;
    for await (const { by_code } of itemsOf(api, `${keyPath}/usage?interval=hour`)) add(one, keyId, by_code);
  }
  expect(namesOf(one)).toEqual(acknowledged);
  const inEvents: Counts = new Map();
  for await (const event of itemsOf(api, `/v1/events?issuer_id=${issuer.id}`)) {
    const { type, count, actor, data } = event;
    if (type === 'api-key.verified' || type === 'api-key.rejected')
      add(inEvents, actor.id, { [data.code]: count });
  }
  expect(namesOf(inEvents)).toEqual(acknowledged);
  let total = 0;
  let cost = 0;
  for await (const bucket of itemsOf(api, `/v1/usage?interval=month&issuer_id=${issuer.id}`)) {
    total += bucket.total;
    cost += bucket.cost;
  }
  expect({ total, cost }).toEqual({ total: load.answered, cost: load.used.get('issuer-month') });
  for (const [name, { limit, remaining }] of await windowsOf(load, world)) {
    const used = load.used.get(name) ?? 0;
    expect(used).toBeLessThanOrEqual(limit);
    expect({ name, remaining }).toEqual({ name, remaining: limit - used });
  }
}

/** Of no window that has passed more was admitted than it had. */
export function checkPassedWindows(load: MeteredLoad): void {
  const over = [...load.usedOfWindow].filter(([, { limit, used }]) => used > limit);
  expect(over).toEqual([]);
}

/** How the limits stand that last for the whole run, by their names. */
async function windowsOf(load: MeteredLoad, { cases, lasting }: MeteredWorld) {
  const windows = new Map<string, { limit: number; remaining: number }>();
  for (const each of cases) {
    if (each.limits.every((name) => windows.has(name))) continue;
    for (const told of await load.limitsOf(each)) if (told.name in lasting) windows.set(told.name, told);
  }
  expect([...windows.keys()].toSorted()).toEqual(Object.keys(lasting).toSorted());
  return windows;
}

/** What usage tells of each key of the issuer. */
export async function meteredByKey({ api, issuer }: MeteredWorld): Promise<Counts> {
  const counts: Counts = new Map();
  const path = `/v1/usage?group_by=key&interval=day&issuer_id=${issuer.id}`;
  for await (const { key_id, by_code } of itemsOf(api, path)) add(counts, key_id, by_code);
  return counts;
}

function keysOf({ cases }: MeteredWorld): Set<string> {
  return new Set(cases.map(({ keyId }) => keyId));
}

function add(counts: Counts, keyId: string, byCode: Record<string, number>): void {
  const ofKey = counts.get(keyId) ?? new Map<string, number>();
  counts.set(keyId, ofKey);
  for (const [code, count] of Object.entries(byCode)) ofKey.set(code, (ofKey.get(code) ?? 0) + count);
}

function sum(counts: Map<string, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}

/** For a comparison whose failure says which. */
function namesOf(counts: Counts): Record<string, Record<string, number>> {
  return Object.fromEntries([...counts].map(([keyId, codes]) => [keyId, Object.fromEntries(codes)]));
}

async function* itemsOf(api: ApiClient, path: string): AsyncGenerator<ApiAnswer['body']> {
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await api.get(`${path}&limit=100${query}`);
    if (page.status !== 200) throw new Error(`GET ${path} answered ${page.status} ${page.text}`);
    yield* page.body.data;
    cursor = page.body.next_cursor;
  }
}
