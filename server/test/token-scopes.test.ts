import { afterAll, expect, test } from 'vitest';
import { createCustomer } from './harness/customer.ts';
import { OidcBrowser } from './harness/oidc-browser.ts';
import { claimsOf, OidcClient } from './harness/oidc-client.ts';
import { Random } from './harness/random.ts';
import { scaled } from './harness/scale.ts';
import { startTestServer } from './harness/server.ts';
import { succeeded, TestIssuer } from './harness/test-issuer.ts';

const words = ['invoices:read', 'invoices:write', 'reports:read', 'a.b:c', 'users:read'];
const random = new Random();
const someOf = (from: readonly string[], least = 0): string[] => {
  const picked = from.filter(() => random.int(2) === 0);
  return picked.length < least ? [random.pick(from)] : picked;
};

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);

/** What the test believes, by ids: all that decides what a token says. */
const model = {
  /** Scopes of groups, by organization. */
  groups: new Map<string, Map<string, string[]>>(),
  members: new Map<string, { scopes: string[]; groups: string[] } | null>(),
  suspended: new Set<string>(),
  /** `organization_scopes` of clients. */
  clients: new Map<string, string[] | null>(),
};

/** The rule as it is told, one scope at a time; null where the organization is not in the token at all. */
function expected(userId: string, organizationId: string, clientId: string): string[] | null {
  const member = model.members.get(`${userId} ${organizationId}`);
  if (member == null || model.suspended.has(organizationId)) return null;
  const groups = model.groups.get(organizationId)!;
  const restriction = model.clients.get(clientId)!;
  return words.filter((word) => {
    const isGranted =
      member.scopes.indexOf(word) >= 0 ||
      member.groups.some((group) => (groups.get(group) ?? []).indexOf(word) >= 0);
    return isGranted && (restriction === null || restriction.indexOf(word) >= 0);
  });
}

const users: string[] = [];
for (const name of ['ada', 'bob'])
  users.push((await api.create(`${issuer.path}/users`, { username: `${name}@example.com` })).id);
const organizations: string[] = [];
for (let at = 0; at < 3; at++) {
  const { id } = await issuer.createOrganization();
  const path = `${issuer.path}/organizations/${id}`;
  const groups = new Map<string, string[]>();
  for (const name of ['one', 'two']) {
    const scopes = someOf(words, 1);
    groups.set((await api.create(`${path}/groups`, { name, scopes })).id, scopes);
  }
  model.groups.set(id, groups);
  for (const user of users) {
    const scopes = someOf(words, 1);
    await api.create(`${path}/members`, { member_id: user, scopes });
    model.members.set(`${user} ${id}`, { scopes, groups: [] });
  }
  organizations.push(id);
}
const clients: OidcClient[] = [];
for (const restriction of [null, ['invoices:read', 'reports:read']]) {
  const client = await OidcClient.create(server, issuer, { settings: { organization_scopes: restriction } });
  model.clients.set(client.id, restriction);
  clients.push(client);
}

/** One change of whatever decides, in the API and in the model. */
async function change(): Promise<void> {
  const organization = random.pick(organizations);
  const path = `${issuer.path}/organizations/${organization}`;
  const groups = model.groups.get(organization)!;
  const user = random.pick(users);
  const place = `${user} ${organization}`;
  const member = model.members.get(place) ?? null;
  const changes = [
    async () => {
      const next = { scopes: someOf(words, 1), groups: someOf([...groups.keys()]) };
      succeeded(
        member === null
          ? await api.post(`${path}/members`, { member_id: user, ...next })
          : await api.patch(`${path}/members/${user}`, next),
      );
      model.members.set(place, next);
    },
    async () => {
      const [group, scopes] = [random.pick([...groups.keys()]), someOf(words, 1)];
      succeeded(await api.patch(`${path}/groups/${group}`, { scopes }));
      groups.set(group, scopes);
    },
    async () => {
      if (member === null) return;
      succeeded(await api.delete(`${path}/members/${user}`));
      model.members.set(place, null);
    },
    async () => {
      const isSuspended = model.suspended.has(organization);
      succeeded(await api.post(`${path}/${isSuspended ? 'activate' : 'suspend'}`));
      if (isSuspended) model.suspended.delete(organization);
      else model.suspended.add(organization);
    },
    async () => {
      const client = random.pick(clients);
      const restriction = random.int(3) === 0 ? null : someOf(words);
      const settings = { organization_scopes: restriction };
      succeeded(await api.patch(`${issuer.path}/clients/${client.id}`, { settings }));
      model.clients.set(client.id, restriction);
    },
  ];
  await random.pick(changes)();
}

type Told = { organizations?: { org_id: string; scopes?: string[] }[] };

/** What is told of every organization, as the model has it. */
const scopesTold = ({ organizations: told = [] }: Told) =>
  Object.fromEntries(told.map(({ org_id: id, scopes = [] }) => [id, [...scopes].sort()]));

test('whatever changes, tokens and endpoints say of each organization what the rule says', async () => {
  for (let round = 0; round < scaled(6, 500); round++) {
    for (let changes = random.int(3) + 1; changes > 0; changes--) await change();
    const [user, client] = [random.pick(users), random.pick(clients)];
    const rule: Record<string, string[]> = {};
    for (const id of organizations) {
      const scopes = expected(user, id, client.id);
      if (scopes !== null) rule[id] = scopes.sort();
    }
    const about = `seed ${random.seed}, round ${round}`;
    const behaviour = { userId: user, organizationId: null };
    const tokens = await client.signIn(new OidcBrowser(server), behaviour);
    const { body: refreshed } = await client.refresh(tokens.refresh_token!);
    for (const told of [
      claimsOf(tokens.access_token),
      claimsOf(tokens.id_token!),
      claimsOf(refreshed.access_token),
      claimsOf(refreshed.id_token),
      (await client.userinfo(refreshed.access_token)).body,
      (await client.post('/introspect', { token: refreshed.access_token })).body,
    ])
      expect(scopesTold(told), about).toEqual(rule);

    const only = random.pick(organizations);
    const narrowed = await client.code(new OidcBrowser(server), behaviour, { org: only });
    if (rule[only] === undefined) {
      expect(narrowed.parameters.get('error'), about).toBe('access_denied');
    } else {
      const { body } = await client.redeem(narrowed);
      for (const token of [body.access_token, body.id_token]) {
        expect(claimsOf(token).org_id, about).toBe(only);
        expect(scopesTold(claimsOf(token)), about).toEqual({ [only]: rule[only] });
      }
    }
  }
});
