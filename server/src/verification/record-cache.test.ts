import { expect, test } from 'vitest';
import { presets } from '../key-profiles/presets.ts';
import { RecordCache, type RecordChange } from './record-cache.ts';
import type { KeyRecord } from './records.ts';

/** As a read makes it: nothing in it is shared yet. */
function readKey(members: Partial<KeyRecord> = {}): KeyRecord {
  const levels = { live: null, sandbox: null };
  const account = {
    id: 'acc_1',
    status: 'active',
    isOperator: false,
    plan: 'p',
    levels,
    isStale: false,
  } as const;
  const issuer = { id: 'i_1', account, status: 'active', environment: 'live', isStale: false } as const;
  const organization = {
    id: 'org_1',
    accountId: 'acc_1',
    issuerId: 'i_1',
    name: 'Acme',
    externalId: null,
  } as const;
  return {
    id: 'key_1',
    name: 'backend',
    kind: 'secret',
    environment: 'live',
    status: 'active',
    expiresAtMs: null,
    scopes: [],
    origins: [],
    browsers: 'allow',
    requireOrigin: false,
    ips: null,
    metadata: {},
    lineageId: 'key_1',
    rotatedAtMs: null,
    isImported: false,
    ownLevel: null,
    account,
    issuer: { ...issuer, profile: presets.standard, publishableScopes: [], plan: 'p', levels },
    organization: { ...organization, status: 'active', plan: 'p', levels, isStale: false },
    ...members,
  };
}

// Attack: a customer changes keys of its own without end, so that no other customer's key ever comes to be kept, and
// each of their verifications costs a read.
test('changes of other things do not keep a key that is being read out of memory', () => {
  const cache = new RecordCache(100);
  const epoch = cache.epoch;
  cache.forget({ kind: 'api-key', digest: 'digest of another' });
  for (const kind of ['organization', 'issuer', 'account'] as const) cache.forget({ kind, id: 'of_another' });
  cache.keepKey('digest', readKey(), epoch);
  cache.keepIssuer(readKey().issuer!, epoch);
  cache.keepTenant('i_1', 'acme', readKey().organization!, epoch);
  expect(cache.key('digest')).toMatchObject(readKey());
  expect(cache.issuer('i_1')).toEqual(readKey().issuer);
  expect(cache.tenant('i_1', 'acme')).toEqual(readKey().organization);
});

// Attack: a slow read is timed so that it ends after the notice of the change that it did not see.
test.each<RecordChange>([
  { kind: 'api-key', digest: 'digest' },
  { kind: 'organization', id: 'org_1' },
  { kind: 'issuer', id: 'i_1' },
  { kind: 'account', id: 'acc_1' },
])('a key that was being read when its $kind changed is not kept', (change) => {
  const cache = new RecordCache(100);
  const epoch = cache.epoch;
  cache.forget(change);
  cache.forget({ kind: 'account', id: 'of_another' });
  expect(cache.keepKey('digest', readKey(), epoch)).toEqual(readKey());
  expect(cache.key('digest')).toBeUndefined();
  cache.keepKey('digest', readKey(), cache.epoch);
  expect(cache.key('digest')).toMatchObject(readKey());
});

test('what was being read during a flush is not kept', () => {
  const cache = new RecordCache(100);
  const epoch = cache.epoch;
  cache.flush();
  cache.keepKey('digest', readKey(), epoch);
  expect(cache.key('digest')).toBeUndefined();
});

// Attack: a customer makes keys as heavy as they can be and verifies each once, until the node is out of memory.
test('keys that are heavy, or bring a heavy issuer along, count as many', () => {
  const heavy = Array.from({ length: 50 }, (_, index) => `${'s'.repeat(100)}:${index}`);
  const cache = new RecordCache(100);
  for (let index = 0; index < 100; index++)
    cache.keepKey(`${index}`, readKey({ scopes: heavy }), cache.epoch);
  expect(cache.size).toBeLessThan(20);
  expect(cache.key('99')).toMatchObject({ scopes: heavy });

  const other = new RecordCache(100);
  for (let index = 0; index < 100; index++) {
    const issuer = { ...readKey().issuer!, id: `i_${index}`, publishableScopes: heavy };
    other.keepKey(`${index}`, readKey({ issuer }), other.epoch);
  }
  expect(other.size).toBeLessThan(20);
  expect(other.key('99')).toMatchObject({ issuer: { id: 'i_99' } });
});

test('a read past memory that agrees with what is held leaves it there', () => {
  const cache = new RecordCache(100);
  cache.keepKey('digest', readKey(), cache.epoch);
  cache.supersedeKey('digest', readKey());
  expect(cache.key('digest')).toBeDefined();
  cache.supersedeKey('digest', readKey({ status: 'revoked' }));
  expect(cache.key('digest')).toBeUndefined();
});

test('a change of a plan reaches whoever is on it, and nobody else', () => {
  for (const [change, reaches] of [
    [{ account_id: 'acc_1', name: 'p', is_operator: false }, true],
    [{ account_id: 'acc_operator', name: 'p', is_operator: true }, true],
    // The attack: a customer names a plan as the operator does, so as to throw everybody's keys out of memory.
    [{ account_id: 'acc_2', name: 'p', is_operator: false }, false],
    [{ account_id: 'acc_1', name: 'q', is_operator: false }, false],
  ] as const) {
    const cache = new RecordCache(100);
    cache.keepKey('digest', readKey(), cache.epoch);
    const during = cache.epoch;
    cache.forget({ kind: 'plan', ...change });
    expect(cache.key('digest') === undefined).toBe(reaches);
    const other = readKey({ id: 'key_2' });
    cache.keepKey('digest of another', other, during);
    expect(cache.key('digest of another') === undefined).toBe(reaches);
  }
});
