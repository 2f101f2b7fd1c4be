import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiAnswer, ApiClient } from '../harness/api-client.ts';

/** The contract's: what one node has committed holds on every node that reaches Postgres. */
export const boundMs = 1_000;

/** A change made on one node, and what the other node says of the thing while it does not know of it, and once it does. */
export interface Change {
  name: string;
  make(): Promise<ApiAnswer>;
  /** What the other node answers, in a word. */
  ask(): Promise<string>;
  before: string;
  after: string | RegExp;
}

export interface Nodes {
  /** Where changes are made, as the operator. */
  one: ApiClient;
  /** Where they have to hold. */
  other: ApiClient;
}

type Key = { id: string; secret: string };

/** Makes every kind of change ready: each with an issuer of its own, none made yet. */
export async function prepareChanges(nodes: Nodes): Promise<Change[]> {
  return (await Promise.all([keyChanges(nodes), ownerChanges(nodes), accountChanges(nodes)])).flat();
}

async function keyChanges(nodes: Nodes): Promise<Change[]> {
  const { one } = nodes;
  const kinds: [string, string, (path: string) => Promise<ApiAnswer>][] = [
    ['a key is revoked', 'REVOKED', (path) => one.post(`${path}/revoke`)],
    ['a key is disabled', 'DISABLED', (path) => one.post(`${path}/disable`)],
    ['a key is deleted', 'NOT_FOUND', (path) => one.delete(path)],
    [
      'a key loses a scope',
      'INSUFFICIENT_SCOPE',
      (path) => one.patch(path, { restrictions: { scopes: [] } }),
    ],
  ];
  const changes = kinds.map(async ([name, after, make]) => {
    const { path, key } = await makeIssuer(nodes);
    return {
      name,
      make: () => make(`${path}/api-keys/${key.id}`),
      ask: verify(nodes, key),
      before: 'VALID',
      after,
    };
  });
  return Promise.all([...changes, enabling(nodes)]);
}

async function enabling(nodes: Nodes): Promise<Change> {
  const { path, key } = await makeIssuer(nodes);
  await nodes.one.post(`${path}/api-keys/${key.id}/disable`);
  const make = () => nodes.one.post(`${path}/api-keys/${key.id}/enable`);
  return { name: 'a key is enabled', make, ask: verify(nodes, key), before: 'DISABLED', after: 'VALID' };
}

async function ownerChanges(nodes: Nodes): Promise<Change[]> {
  const { one } = nodes;
  const [suspended, deleted, forTenant, issuer, gone, profile] = await Promise.all(
    Array.from({ length: 6 }, () => makeIssuer(nodes)),
  );
  return [
    {
      name: 'an organization is suspended',
      make: () => one.post(`${suspended!.organizationPath}/suspend`),
      ask: verify(nodes, suspended!.organizationKey),
      before: 'VALID',
      after: 'TENANT_SUSPENDED',
    },
    {
      name: 'an organization is deleted',
      make: () => one.delete(deleted!.organizationPath),
      ask: verify(nodes, deleted!.organizationKey),
      before: 'VALID',
      after: 'NOT_FOUND',
    },
    {
      name: 'the tenant that an issuer’s key acts for is suspended',
      make: () => one.post(`${forTenant!.organizationPath}/suspend`),
      ask: verify(nodes, forTenant!.key, { tenant: 'tenant_1' }),
      before: 'VALID',
      after: 'TENANT_SUSPENDED',
    },
    {
      name: 'an issuer is suspended',
      make: () => one.post(`${issuer!.path}/suspend`),
      ask: verify(nodes, issuer!.organizationKey),
      before: 'VALID',
      after: 'ISSUER_SUSPENDED',
    },
    {
      name: 'an issuer is deleted',
      make: () => one.delete(gone!.path),
      ask: verify(nodes, gone!.organizationKey),
      before: 'VALID',
      after: 'NOT_FOUND',
    },
    {
      name: 'a key profile is changed',
      make: () => one.put(`${profile!.path}/key-profile`, { preset: 'sandbox' }),
      ask: async () => {
        const path = `/v1/authorize/${profile!.id}`;
        const answer = await nodes.other.as(null).get(path, { 'X-API-Key': profile!.key.secret });
        return `${answer.status} ${answer.headers.get('X-Gatelodge-Warnings') ?? ''}`.trim();
      },
      before: '200',
      after: '401',
    },
  ];
}

async function accountChanges(nodes: Nodes): Promise<Change[]> {
  const { one } = nodes;
  const kinds: [string, RegExp, (id: string) => Promise<ApiAnswer>][] = [
    ['an account is suspended', /^account_suspended$/, (id) => one.post(`/v1/accounts/${id}/suspend`)],
    // The account is dead at once; when a job has carried the deletion out, its keys are unknown.
    [
      'an account is deleted',
      /^(account_suspended|invalid_key)$/,
      (id) => one.delete(`/v1/accounts/${id}?force=true&name=Doomed`),
    ],
  ];
  return Promise.all(
    kinds.map(async ([name, after, make]) => {
      const account = await one.create('/v1/accounts', { name: 'Doomed', owner_email: 'owner@doomed.test' });
      const key = { id: account.api_key.id, secret: account.api_key.secret_plain };
      const ask = async () => {
        const { status, body } = await nodes.other.as(key).get('/v1/me');
        return status === 200 ? 'VALID' : body.code;
      };
      return { name, make: () => make(account.id), ask, before: 'VALID', after };
    }),
  );
}

async function makeIssuer({ one }: Nodes) {
  const { id } = await one.create('/v1/issuers', { name: 'Issuer' });
  const path = `/v1/issuers/${id}`;
  const organization = await one.create(`${path}/organizations`, { name: 'Tenant', external_id: 'tenant_1' });
  const organizationPath = `${path}/organizations/${organization.id}`;
  const [key, organizationKey] = await Promise.all([makeKey(one, path), makeKey(one, organizationPath)]);
  return { id: id as string, path, organizationPath, key, organizationKey };
}

export async function makeKey(api: ApiClient, path: string, members: object = {}): Promise<Key> {
  const body = { restrictions: { scopes: ['invoices:read'] }, ...members };
  const made = await api.create(`${path}/api-keys`, body);
  return { id: made.id, secret: made.secret_plain };
}

function verify({ other }: Nodes, key: Key, members: object = {}): () => Promise<string> {
  return async () => {
    const body = { key: key.secret, scopes: ['invoices:read'], ...members };
    const { code, warnings } = (await other.post('/v1/keys/verify', body)).body;
    return warnings?.includes('stale') ? `${code} stale` : code;
  };
}

/** What the other node said of one change, and how long it took to know of it. */
export interface Outcome {
  name: string;
  /** Milliseconds from the commit until the first request was sent that was answered by the new state. */
  heldAfterMs: number;
  /** Answers to requests sent later than the bound that are not of the new state; 503 aside, which lets nobody in. */
  late: string[];
  /** Of those, how many say themselves that the node did not reach Postgres. */
  stale: number;
}

/**
 * Has the other node answer of everything from its memory, breaks something, makes all changes at once, and asks the
 * other node about each of them again and again until well after the bound.
 */
export async function makeAndWatch(changes: readonly Change[], breakIt: () => unknown): Promise<Outcome[]> {
  for (const change of changes) await becomes(change, change.before);
  await Promise.all(changes.map((change) => becomes(change, change.before)));
  await breakIt();
  await sleep(30);
  return Promise.all(changes.map(watch));
}

async function watch(change: Change): Promise<Outcome> {
  let committedAt = Number.POSITIVE_INFINITY;
  const asking: Promise<{ sentAt: number; said: string }>[] = [];
  const making = makeAtLast(change).then(() => {
    // It was committed before this moment, so the bound is measured from slightly later than the commit.
    committedAt = performance.now();
  });
  let hasFailed = false;
  making.catch(() => {
    hasFailed = true;
  });
  for (let afterBound = 0; afterBound < 5 && !hasFailed; ) {
    const sentAt = performance.now();
    if (sentAt >= committedAt + boundMs) afterBound++;
    // Not one after the other: over connections that hang, each would take its time.
    asking.push(
      change.ask().then(
        (said) => ({ sentAt, said }),
        (error) => ({ sentAt, said: String(error) }),
      ),
    );
    await sleep(40);
  }
  const asked = await Promise.all(asking);
  await making;
  await becomes(change, change.after);
  const afterBound = asked.filter(({ sentAt }) => sentAt >= committedAt + boundMs).map(({ said }) => said);
  const late = afterBound.filter((said) => !/^(503|unavailable)$/.test(said) && !isSaid(said, change.after));
  const lastWrong = asked.findLastIndex(({ said }) => said === change.before);
  return {
    name: change.name,
    heldAfterMs: Math.max(0, (asked[lastWrong + 1]?.sentAt ?? Number.POSITIVE_INFINITY) - committedAt),
    late,
    stale: late.filter((said) => said === `${change.before} stale`).length,
  };
}

/** A node that is busy may answer 503, and the change is made again then: each may be made any number of times. */
async function makeAtLast(change: Change): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { status, text } = await change.make();
    // Deleted by an attempt whose answer was 503.
    if (status < 300 || (attempt > 1 && status === 404)) return;
    if (status !== 503 || attempt === 20) throw new Error(`${change.name}: answered ${status} ${text}`);
    await sleep(100);
  }
}

function isSaid(said: string, expected: string | RegExp): boolean {
  return typeof expected === 'string' ? said === expected : expected.test(said);
}

async function becomes(change: Change, expected: string | RegExp): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (isSaid(await change.ask(), expected)) return;
    await sleep(20);
  }
  throw new Error(`${change.name}: the other node never said ${expected}, but ${await change.ask()}`);
}
