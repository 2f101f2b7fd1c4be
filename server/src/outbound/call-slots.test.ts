import { afterEach, describe, expect, test, vi } from 'vitest';
import { Receiver, receiverNetwork } from '../../test/harness/receiver.ts';
import { CallSlots } from './call-slots.ts';
import { OutboundClient, type OutboundOptions } from './outbound-client.ts';

const slots = { overall: 4, reserved: 1, perAccount: 2, waiting: 3, waitMs: 60_000 };
const open: OutboundClient[] = [];

function clientWith(given: OutboundOptions['slots']): OutboundClient {
  const client = new OutboundClient({ allow: [receiverNetwork], slots: { ...slots, ...given } });
  open.push(client);
  return client;
}

afterEach(() => {
  for (const client of open.splice(0)) client.close();
});

/** Answers at once below `/fast`, and nothing else until it is told to. */
async function startReceiver() {
  const waiting: (() => void)[] = [];
  const receiver = await Receiver.start({
    tls: false,
    answer: (request, response) => {
      if (request.url === '/fast') response.end();
      else waiting.push(() => response.end());
    },
  });
  return Object.assign(receiver, { waiting });
}

/** The outcome of a call as one word. */
function outcomeOf(called: Promise<unknown>): Promise<string> {
  return called.then(
    () => 'answered',
    (error: { reason?: string }) => error.reason ?? 'another error',
  );
}

describe('an account whose receivers are slow', () => {
  test('has no more calls under way than are its own, and keeps nobody else waiting', async () => {
    // The attack: endpoints that never answer, until no call of any tenant goes out.
    await using receiver = await startReceiver();
    const client = clientWith({});
    const slow = Array.from({ length: 8 }, () =>
      outcomeOf(client.fetch(receiver.url('/slow'), { accountId: 'acc_slow' })),
    );
    // Two are under way and three wait: the others are turned away.
    expect(await Promise.all(slow.slice(5))).toEqual(['busy', 'busy', 'busy']);
    await vi.waitFor(() => expect(receiver.waiting).toHaveLength(2));
    expect(client.underWay).toBe(2);
    for (const accountId of ['acc_other', null])
      expect(await outcomeOf(client.fetch(receiver.url('/fast'), { accountId }))).toBe('answered');
    for (let answered = 0; answered < 5; answered++) {
      await vi.waitFor(() => expect(receiver.waiting.length).toBeGreaterThan(answered));
      expect(client.underWay).toBeLessThanOrEqual(2);
      receiver.waiting[answered]?.();
    }
    expect(await Promise.all(slow.slice(0, 5))).toEqual(Array(5).fill('answered'));
    expect(client.counts).toMatchObject({ answered: 7, busy: 3, timeout: 0 });
  });

  test('nor have many of them together', async () => {
    await using receiver = await startReceiver();
    const client = clientWith({ waitMs: 100 });
    const slow = ['acc_1', 'acc_2', 'acc_3'].flatMap((accountId) =>
      Array.from({ length: 2 }, () => outcomeOf(client.fetch(receiver.url('/slow'), { accountId }))),
    );
    // The last slot is for who has none.
    expect(await Promise.all([slow[3], slow[5]])).toEqual(['busy', 'busy']);
    await vi.waitFor(() => expect(receiver.waiting).toHaveLength(4));
    for (const answer of receiver.waiting) answer();
    const others = slow.filter((_, index) => index !== 3 && index !== 5);
    expect(await Promise.all(others)).toEqual(Array(4).fill('answered'));
    expect(await outcomeOf(client.fetch(receiver.url('/fast'), { accountId: 'acc_3' }))).toBe('answered');
  });

  // The attack: eight accounts, each with as many silent receivers as it may have, hold every slot of the node.
  test('nor keep eight of them everybody else and the installation waiting', async () => {
    await using receiver = await startReceiver();
    const client = new OutboundClient({ allow: [receiverNetwork] });
    open.push(client);
    const slow = Array.from({ length: 8 * 20 }, (_, n) =>
      outcomeOf(client.fetch(receiver.url('/slow'), { accountId: `acc_${n % 8}` })),
    );
    await vi.waitFor(() => expect(receiver.waiting).toHaveLength(48));
    const others = ['acc_other', 'acc_another', null].map((accountId) =>
      outcomeOf(client.fetch(receiver.url('/fast'), { accountId })),
    );
    expect(await Promise.all(others)).toEqual(Array(3).fill('answered'));
    client.close();
    await Promise.all(slow);
  });

  test('yields to who has fewer under way, however long its own have waited', async () => {
    const turns = new CallSlots({ overall: 3, reserved: 0, perAccount: 3, waiting: 10, waitMs: 60_000 });
    const ends: (() => void)[] = [];
    const order: string[] = [];
    const call = (accountId: string) =>
      turns.run(accountId, () => {
        order.push(accountId);
        return new Promise<void>((resolve) => ends.push(resolve));
      });
    const calls = ['greedy', 'greedy', 'greedy', 'greedy', 'greedy', 'late', 'late', 'later'].map(call);
    for (let ended = 0; ended < calls.length; ended++) {
      await vi.waitFor(() => expect(ends.length).toBeGreaterThan(ended));
      ends[ended]!();
    }
    await Promise.all(calls);
    expect(order.slice(3)).toEqual(['late', 'later', 'greedy', 'late', 'greedy']);
  });

  test('gets its slots back from calls that time out', async () => {
    await using receiver = await startReceiver();
    const client = clientWith({});
    const calls = Array.from({ length: 5 }, () =>
      outcomeOf(client.fetch(receiver.url('/slow'), { accountId: 'acc_slow', timeoutMs: 50 })),
    );
    expect(await Promise.all(calls)).toEqual(Array(5).fill('timeout'));
    expect(await outcomeOf(client.fetch(receiver.url('/fast'), { accountId: 'acc_slow' }))).toBe('answered');
    expect(client.underWay).toBe(0);
  });
});

describe('a node that stops', () => {
  test('gives up what is under way and makes no other call', async () => {
    await using receiver = await startReceiver();
    const client = clientWith({});
    const calls = Array.from({ length: 4 }, () =>
      outcomeOf(client.fetch(receiver.url('/slow'), { accountId: 'acc_slow' })),
    );
    await vi.waitFor(() => expect(receiver.waiting).toHaveLength(2));
    client.close();
    expect(await Promise.all(calls)).toEqual(Array(4).fill('busy'));
    expect(await outcomeOf(client.fetch(receiver.url('/fast'), { accountId: null }))).toBe('busy');
    expect(receiver.received).toHaveLength(2);
  });
});
