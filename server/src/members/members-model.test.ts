import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Random } from '../../test/harness/random.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';

// Whatever is done to members and groups, tokens, `/v1/me`, lists and explanations say what a plain model says.

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
const issuerPath = `/v1/issuers/${issuer.id}`;
const words = ['invoices:read', 'invoices:write', 'reports:read', 'a.b:c'];

interface Tenant {
  id: string;
  path: string;
  isSuspended: boolean;
  /** By id. */
  groups: Map<string, string[]>;
  /** By the id of the user, in the order in which they joined. */
  members: Map<string, { scopes: string[]; groups: string[]; joined: number }>;
}

const random = new Random();
const users: string[] = [];
const tenants: Tenant[] = [];
let joins = 0;
let groupsMade = 0;
for (let made = 0; made < 3; made++) {
  users.push((await api.create(`${issuerPath}/users`, { username: `user-${made}@example.com` })).id);
  const { id } = await api.create(`${issuerPath}/organizations`, { name: `Tenant ${made}` });
  tenants.push({
    id,
    path: `${issuerPath}/organizations/${id}`,
    isSuspended: false,
    groups: new Map(),
    members: new Map(),
  });
}

const someOf = (all: readonly string[]) => all.filter(() => random.chance(0.4));
const effective = (tenant: Tenant, userId: string): string[] => {
  const member = tenant.members.get(userId)!;
  const all = words.filter(
    (word) =>
      member.scopes.includes(word) || member.groups.some((group) => tenant.groups.get(group)!.includes(word)),
  );
  return all.sort();
};
const given = (tenant: Tenant) => ({ scopes: someOf(words), groups: someOf([...tenant.groups.keys()]) });
const isEnough = ({ scopes, groups }: { scopes: string[]; groups: string[] }) =>
  scopes.length + groups.length > 0;

const steps: Record<string, (tenant: Tenant, userId: string) => Promise<void>> = {
  async join(tenant, userId) {
    const body = given(tenant);
    const { status } = await api.post(`${tenant.path}/members`, { member_id: userId, ...body });
    const isIn = tenant.members.has(userId);
    expect(status).toBe(isEnough(body) ? (isIn ? 409 : 201) : 422);
    if (status === 201) tenant.members.set(userId, { ...body, joined: ++joins });
  },
  async change(tenant, userId) {
    const body = given(tenant);
    const { status } = await api.patch(`${tenant.path}/members/${userId}`, body);
    const member = tenant.members.get(userId);
    expect(status).toBe(member === undefined ? 404 : isEnough(body) ? 200 : 422);
    if (status === 200) Object.assign(member!, body);
  },
  async leave(tenant, userId) {
    const { status } = await api.delete(`${tenant.path}/members/${userId}`);
    expect(status).toBe(tenant.members.delete(userId) ? 204 : 404);
  },
  async makeGroup(tenant) {
    const scopes = someOf(words);
    const answer = await api.post(`${tenant.path}/groups`, { name: `Group ${++groupsMade}`, scopes });
    expect(answer.status).toBe(scopes.length > 0 ? 201 : 422);
    if (answer.status === 201) tenant.groups.set(answer.body.data.id, scopes);
  },
  async changeGroup(tenant) {
    const scopes = someOf(words);
    if (tenant.groups.size === 0 || scopes.length === 0) return;
    const id = random.pick([...tenant.groups.keys()]);
    expect((await api.patch(`${tenant.path}/groups/${id}`, { scopes })).status).toBe(200);
    tenant.groups.set(id, scopes);
  },
  async deleteGroup(tenant) {
    if (tenant.groups.size === 0) return;
    const id = random.pick([...tenant.groups.keys()]);
    const left = [...tenant.members.values()].filter(
      ({ scopes, groups }) => scopes.length === 0 && groups.join() === id,
    );
    const isForced = random.chance(0.5);
    const { status } = await api.delete(`${tenant.path}/groups/${id}?force=${isForced}`);
    expect(status).toBe(left.length > 0 && !isForced ? 409 : 204);
    if (status !== 204) return;
    tenant.groups.delete(id);
    for (const member of tenant.members.values())
      member.groups = member.groups.filter((group) => group !== id);
  },
  async suspend(tenant) {
    tenant.isSuspended = random.chance(0.3);
    await api.post(`${tenant.path}/${tenant.isSuspended ? 'suspend' : 'activate'}`);
  },
};

test(
  'no sequence of changes makes them say anything else',
  async () => {
    for (let step = 0; step < scaled(60, 3_000); step++) {
      const name = random.pick(['join', 'join', 'change', 'change', 'makeGroup', ...Object.keys(steps)]);
      await steps[name]!(random.pick(tenants), random.pick(users));
      const about = `seed ${random.seed}, step ${step}: ${name}`;
      const userId = random.pick(users);
      const expected = tenants
        .filter((tenant) => tenant.members.has(userId) && !tenant.isSuspended)
        .sort((a, b) => a.members.get(userId)!.joined - b.members.get(userId)!.joined)
        .map((tenant) => ({
          org_id: tenant.id,
          name: expect.any(String),
          scopes: effective(tenant, userId),
        }));
      const { token } = await signIn(server, issuer.id, userId);
      const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
      expect(claims.organizations, about).toEqual(expected);
      const me = await api.as(null).get('/v1/me', { Authorization: `Bearer ${token}` });
      expect(me.body.data.organizations, about).toEqual(expected);

      const tenant = random.pick(tenants);
      const listed = (await api.get(`${tenant.path}/members?sort=created_at`)).body.data;
      expect(
        listed.map((member: { member_id: string }) => member.member_id),
        about,
      ).toEqual([...tenant.members.keys()]);
      for (const id of tenant.members.keys())
        expect((await api.get(`${tenant.path}/members/${id}`)).body.data.effective_scopes, about).toEqual(
          effective(tenant, id),
        );
      const scope = random.pick(words);
      const told = (await api.post(`${tenant.path}/explain`, { member_id: userId, scope })).body.data;
      const isAllowed =
        tenant.members.has(userId) && !tenant.isSuspended && effective(tenant, userId).includes(scope);
      expect(told.allowed, about).toBe(isAllowed);
    }
  },
  scaled(60_000, 1_800_000),
);
