import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, type Tokens } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const signIn = () => client.signIn(new OidcBrowser(server), { userId: user.id });
const reasonOf = async (token: string) =>
  (await api.get(`${issuer.path}/sessions/${claimsOf(token).sid}`)).body.data.end_reason;
const rounds = scaled(2, 100);

// Whoever has got hold of a code or a token sends it along with its owner, many times at once.
describe('50 at the same time', () => {
  test('an authorization code yields tokens once, and those die with it', async () => {
    for (let round = 0; round < rounds; round++) {
      const code = await client.code(new OidcBrowser(server), { userId: user.id });
      const answers = await atOnce(50, () => client.redeem(code));
      const winners = answers.filter(({ status }) => status === 200);
      expect(answers.filter(({ status }) => status !== 200 && status !== 400)).toEqual([]);
      expect(winners.length).toBe(1);
      for (const { body } of winners) {
        expect((await client.userinfo(body.access_token)).status).toBe(401);
        expect((await client.refresh(body.refresh_token)).status).toBe(400);
        expect(await reasonOf(body.access_token)).toBe('code_reuse');
      }
    }
  });

  test('a refresh token yields tokens once, and the whole family dies', async () => {
    for (let round = 0; round < rounds; round++) {
      const tokens = await signIn();
      const answers = await atOnce(50, () => client.refresh(tokens.refresh_token!));
      const winners = answers.filter(({ status }) => status === 200);
      expect(answers.filter(({ status }) => status !== 200 && status !== 400)).toEqual([]);
      expect(winners.length).toBe(1);
      for (const { body } of [...winners, { body: tokens }]) {
        expect((await client.userinfo(body.access_token)).status).toBe(401);
        expect((await client.refresh(body.refresh_token)).body.error).toBe('invalid_grant');
      }
      expect(await reasonOf(tokens.access_token)).toBe('refresh_reuse');
    }
  });

  test('different codes do not stand in each other’s way', async () => {
    const codes = await Promise.all(
      Array.from({ length: 10 }, () => client.code(new OidcBrowser(server), { userId: user.id })),
    );
    const answers = await Promise.all(codes.map((code) => client.redeem(code)));
    expect(answers.map(({ status }) => status)).toEqual(codes.map(() => 200));
  });
});

// A token that a failed request has used up looks stolen when its client, as it should, sends the request again.
describe('a request that fails has used nothing up', () => {
  const member = async () => {
    const organization = await issuer.createOrganization();
    const path = `${issuer.path}/organizations/${organization.id}`;
    await api.create(`${path}/members`, { member_id: user.id, scopes: ['invoices:read'] });
    return { org: organization.id as string, path };
  };
  const statusAndError = ({ status, body }: { status: number; body: { error?: string } }) => [
    status,
    body.error,
  ];

  test('where the organizations can’t be looked up', async () => {
    const tokens = await signIn();
    const code = await client.code(new OidcBrowser(server), { userId: user.id });
    await rows.query('begin');
    await rows.query('lock table memberships in access exclusive mode');
    const failed = await Promise.all([client.refresh(tokens.refresh_token!), client.redeem(code)]);
    await rows.query('rollback');
    const unavailable = [503, 'temporarily_unavailable'];
    expect(failed.map(statusAndError)).toEqual([unavailable, unavailable]);
    const { status, body } = await client.refresh(tokens.refresh_token!);
    expect([status, (await client.redeem(code)).status]).toEqual([200, 200]);
    expect((await client.refresh(body.refresh_token)).status).toBe(200);
  });

  test('where it names a resource that the client was not given', async () => {
    const tokens = await signIn();
    const code = await client.code(new OidcBrowser(server), { userId: user.id });
    const wrong = { resource: 'https://nowhere.example' };
    const failed = [await client.refresh(tokens.refresh_token!, wrong), await client.redeem(code, wrong)];
    expect(failed.map(statusAndError)).toEqual(failed.map(() => [400, 'invalid_target']));
    expect((await client.refresh(tokens.refresh_token!)).status).toBe(200);
    expect((await client.redeem(code)).status).toBe(200);
  });

  test('where the organization of its tokens is suspended', async () => {
    const { org, path } = await member();
    const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id }, { org });
    const code = await client.code(new OidcBrowser(server), { userId: user.id }, { org });
    succeeded(await api.post(`${path}/suspend`));
    const failed = [await client.refresh(tokens.refresh_token!), await client.redeem(code)];
    expect(failed.map(statusAndError)).toEqual(failed.map(() => [400, 'invalid_grant']));
    succeeded(await api.post(`${path}/activate`));
    expect((await client.refresh(tokens.refresh_token!)).status).toBe(200);
    expect((await client.redeem(code)).status).toBe(200);
  });

  // Attack: whoever holds a copy sends it in a way that fails, so that its use by the owner is not the second one.
  test('but what has been used stays used, however it is shown next', async () => {
    const tokens = await signIn();
    const { body } = await client.refresh(tokens.refresh_token!);
    await client.refresh(tokens.refresh_token!, { resource: 'https://nowhere.example' });
    expect((await client.refresh(body.refresh_token)).body.error).toBe('invalid_grant');
    expect(await reasonOf(tokens.access_token)).toBe('refresh_reuse');
  });
});

// Attack: a token is stolen and used; its owner's use, which gives it away, meets an error in the middle.
test.each([
  [
    'code',
    async () => {
      const code = await client.code(new OidcBrowser(server), { userId: user.id });
      const { body } = await client.redeem(code);
      return { thief: body as Tokens, showAgain: () => client.redeem(code) };
    },
  ],
  [
    'refresh token',
    async () => {
      const tokens = await signIn();
      const { body } = await client.refresh(tokens.refresh_token!);
      return { thief: body as Tokens, showAgain: () => client.refresh(tokens.refresh_token!) };
    },
  ],
] as const)(
  'a used %s that is shown while sessions can’t be ended is known for what it is the next time',
  async (_what, steal) => {
    const { thief, showAgain } = await steal();
    await rows.query(`create function refuse_to_end() returns trigger language plpgsql as $$
    begin raise exception 'no room' using errcode = '53300'; end $$`);
    await rows.query(`create trigger refuse_to_end before update of ended_at on sessions
    for each row execute function refuse_to_end()`);
    const failed = await showAgain();
    await rows.query('drop function refuse_to_end() cascade');
    expect([failed.status, failed.headers.get('Retry-After')]).toEqual([503, '1']);
    expect((await showAgain()).body.error).toBe('invalid_grant');
    expect((await client.userinfo(thief.access_token)).status).toBe(401);
    expect((await client.refresh(thief.refresh_token!)).body.error).toBe('invalid_grant');
  },
);

test('a code that is shown again kills what it was redeemed for', async () => {
  const code = await client.code(new OidcBrowser(server), { userId: user.id });
  const { body } = await client.redeem(code);
  expect((await client.userinfo(body.access_token)).status).toBe(200);
  const again = await client.redeem(code);
  expect([again.status, again.body.error]).toEqual([400, 'invalid_grant']);
  expect((await client.userinfo(body.access_token)).status).toBe(401);
  expect((await client.refresh(body.refresh_token)).status).toBe(400);
});

test('a used refresh token is known for what it is at another node and after a restart', async () => {
  const first = await signIn();
  const { body: second } = await client.refresh(first.refresh_token!);
  const node = await startTestServer({ nodeOf: server });
  try {
    const answer = await client.at(node).refresh(first.refresh_token!);
    expect([answer.status, answer.body.error]).toEqual([400, 'invalid_grant']);
    expect((await client.refresh(second.refresh_token)).status).toBe(400);
    expect((await client.at(node).userinfo(second.access_token)).status).toBe(401);
  } finally {
    await node.close();
  }
  // The browser is signed in still: what was stolen was the client's.
  expect(await reasonOf(second.access_token)).toBe('refresh_reuse');
});

test('the browser goes on after a reuse, in a new session', async () => {
  const browser = new OidcBrowser(server);
  const tokens = await client.signIn(browser, { userId: user.id });
  await client.refresh(tokens.refresh_token!);
  await client.refresh(tokens.refresh_token!);
  const again = await client.signIn(browser, { userId: user.id }, { prompt: 'none' });
  expect(claimsOf(again.access_token).sid).not.toBe(claimsOf(tokens.access_token).sid);
  expect((await client.refresh(again.refresh_token!)).status).toBe(200);
});

test('what stands in the database opens nothing', async () => {
  const browser = new OidcBrowser(server);
  const code = await client.code(browser, { userId: user.id });
  const tokens = await client.signIn(browser, { userId: user.id });
  const dump = JSON.stringify(
    await rows.query(
      `select encode(digest, 'escape') as digest, encode(sealed, 'escape') as sealed, login_uid, grant_id from oidc_records`,
    ),
  );
  const held = [code.code, tokens.refresh_token!, ...[...browser.cookies.values()].map(({ value }) => value)];
  for (const secret of held) expect(dump).not.toContain(secret);
  // Ids that stand in the open are taken by no endpoint.
  const named = await rows.query(`select distinct login_uid, grant_id from oidc_records`);
  for (const { login_uid, grant_id } of named as { login_uid: string | null; grant_id: string | null }[])
    for (const id of [login_uid, grant_id].filter((name) => name !== null))
      expect((await client.refresh(id)).status).toBe(400);
});
