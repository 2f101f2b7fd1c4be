import { expect, test } from 'vitest';
import { AccountSlots, slotsByKind } from './account-slots.ts';

test('an account that takes all of its slots leaves the others theirs', async () => {
  // The attack: one account sends slow searches until every connection of the pool waits for them.
  const slots = new AccountSlots(10);
  let running = 0;
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const flood = Array.from({ length: 50 }, () =>
    slots.run('acc_greedy', () => {
      running++;
      return ended;
    }),
  );
  expect(running).toBe(4);
  expect(await slots.run('acc_other', () => Promise.resolve('served'))).toBe('served');
  end();
  await Promise.all(flood);
  expect(running).toBe(50);
});

// The attack: a tenant sends a flood with the key of its organization, and the owner who would revoke it waits in line.
test('an organization leaves a slot to its account, and another organization takes turns with it', async () => {
  const slots = new AccountSlots(10);
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const served: string[] = [];
  const begin = (who: string) => () => {
    served.push(who);
    return ended;
  };
  const flood = Array.from({ length: 50 }, () => slots.run('acc_one', begin('flood'), 'org_greedy'));
  expect(served.length).toBe(slots.sizeOfPart);
  expect(await slots.run('acc_one', async () => 'the owner')).toBe('the owner');
  expect(await slots.run('acc_one', async () => 'its issuer', 'iss_one')).toBe('its issuer');
  const others = Array.from({ length: slots.size }, () => slots.run('acc_one', begin('other'), 'org_other'));
  // One of the others has the slot that is left; the rest take turns with the flood.
  expect(served.filter((who) => who === 'other').length).toBe(1);
  end();
  await Promise.all([...flood, ...others]);
  expect(served.lastIndexOf('other')).toBeLessThan(3 * slots.size);
});

test('the smallest pool serves everybody still', async () => {
  const slots = new AccountSlots(2);
  for (const part of [null, 'org_one']) {
    const answers = [1, 2, 3].map((answer) => slots.run('acc_one', () => Promise.resolve(answer), part));
    expect(await Promise.all(answers)).toEqual([1, 2, 3]);
  }
});

// The attack: one account has strangers at its sign-in, users and keys all send at once, and every other account waits.
test('an account that takes all slots of every kind leaves connections to the others', () => {
  for (let connections = 3; connections <= 500; connections++) {
    const { management, users, signIn } = slotsByKind(connections);
    const all = [...new Set([management, users, signIn])];
    const taken = all.reduce((sum, { size }) => sum + size, 0);
    expect([connections, taken < connections, management !== signIn]).toEqual([connections, true, true]);
  }
});
