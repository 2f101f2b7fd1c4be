import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { LoginVisitor } from './harness/login-pages.ts';
import { claimsOf } from './harness/oidc-client.ts';
import { codeIn } from './harness/otp-client.ts';
import { freePort } from './harness/process.ts';
import { startTestServer } from './harness/server.ts';

const run = promisify(execFile);
const guide = await readFile(new URL('../../docs/quickstart.md', import.meta.url), 'utf8');
const blocksOf = (language: string) =>
  [...guide.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, block]) => String(block));
const [helper, issuer, client, member, key, me, events, send, mail, paste, redeem, read, ...others] =
  blocksOf('sh');
const [shownMe, shownClaims] = blocksOf('json').map((text) => JSON.parse(text) as Record<string, unknown>);
const [shownEvents] = guide.matchAll(/```\n(api-key\.verified.*?)```/gs);

const port = await freePort();
const url = `http://localhost:${port}`;
const server = await startTestServer({
  env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: url },
});
afterAll(() => server.close());
const { key: operator } = server.operator;

const names = 'ACME CLIENT_ID CLIENT_SECRET BAKERY ADA KEY_ID KEY_SECRET VERIFIER CODE TOKENS';
/** Variables that one snippet sets and later ones use. */
const variables: Record<string, string> = {};

async function answerOf(script: string | undefined): Promise<string> {
  const told = `for name in ${names}; do if [ -n "\${!name:-}" ]; then printf '\\n@@%s=%s' "$name" "\${!name}"; fi; done`;
  const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', `${helper}\n${script}\n${told}`], {
    env: {
      ...process.env,
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      GATELODGE_URL: url,
      OPERATOR: `${operator.id}:${operator.secret}`,
      ...variables,
    },
  });
  const [answer = '', ...set] = stdout.split('\n@@');
  for (const each of set) variables[each.slice(0, each.indexOf('='))] = each.slice(each.indexOf('=') + 1);
  return answer;
}

/** What the guide shows, with the ids of this run. */
function withIds(shown: unknown): unknown {
  const ids = [variables.KEY_ID!, server.operator.accountId, variables.ACME!, variables.BAKERY!];
  return JSON.parse(
    JSON.stringify(shown).replaceAll(
      /([a-z]+_)…/g,
      (_, prefix: string) => ids.find((id) => id.startsWith(prefix))!,
    ),
  );
}

test('every snippet of docs/quickstart.md does what the text beside it says', async () => {
  expect(others).toEqual([]);
  expect(JSON.parse(await answerOf(issuer)).issuer).toBe(`${url}/${variables.ACME}`);
  await answerOf(client);
  const added = JSON.parse(await answerOf(member)).data;
  expect(added.member_id).toBe(variables.ADA);
  await answerOf(key);
  const [who, status] = (await answerOf(me)).split(/(?<=\})(?=\d)/);
  expect(JSON.parse(who!)).toEqual(withIds(shownMe));
  expect(status!.trim()).toBe('401');
  expect((await answerOf(events)).trim()).toBe(shownEvents![1]!.trim());

  const visitor = new LoginVisitor(server);
  const first = await visitor.go((await answerOf(send)).trim());
  const { page } = await visitor.askForCode(first, 'ada@example.com');
  const code = codeIn({ text: await answerOf(mail) });
  const arrived = await visitor.submit(page, { code });
  expect(arrived.url.href).toContain('http://localhost:8976/callback?code=');
  // Somebody goes on without having pasted anything, and is told what is wrong.
  await answerOf(paste);
  expect(await answerOf(redeem)).toContain('"error":"invalid_grant"');
  await answerOf(paste!.replace('the-code', arrived.url.searchParams.get('code')!));
  expect(await answerOf(redeem)).toContain('"access_token"');
  // Whole, the scopes included.
  expect(JSON.parse(await answerOf(read))).toMatchObject(withIds(shownClaims) as object);
  const { access_token: accessToken, id_token: idToken } = JSON.parse(variables.TOKENS!);
  for (const token of [accessToken, idToken])
    expect(claimsOf(token)).toMatchObject({ sub: variables.ADA, ...(withIds(shownClaims) as object) });
});
