import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { decodeJwt } from 'jose';
import jose from 'jose/package.json' with { type: 'json' };
import { afterAll, expect, test, vi } from 'vitest';
import { renderSignInPage } from '../../scripts/login-settings-docs.ts';
import { otpContracts } from '../src/otp/otp-contracts.ts';
import { otpLimits } from '../src/otp/otp-limits.ts';
import { authContracts } from '../src/sessions/auth-contracts.ts';
import { type RefusalCode, refusals } from '../src/verification/refusals.ts';
import { SignIn } from './harness/otp-client.ts';
import { freePort } from './harness/process.ts';
import { startTestServer, TestClock } from './harness/server.ts';

const run = promisify(execFile);
const guide = await readFile(new URL('../../docs/sign-in.md', import.meta.url), 'utf8');
const [
  issuer,
  requestCode,
  readCode,
  verify,
  prepare,
  stay,
  page,
  laterOrigins,
  noSecretKeys,
  sandbox,
  settings,
  device,
  ...others
] = [...guide.matchAll(/```sh\n(.*?)```/gs)].map(([, snippet]) => String(snippet));
const shownAnswer = JSON.parse(String(/```json\n(.*?)```/s.exec(guide)?.[1])) as object;
const readJson = String(/^read_json\(\).*$/m.exec(guide)?.[0]);
const verifyToken = String(/```js\n(.*?)```/s.exec(guide)?.[1]);

const clock = new TestClock(new Date().toISOString());
const port = await freePort();
const url = `http://127.0.0.1:${port}`;
const server = await startTestServer({
  clock,
  env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: url },
});
afterAll(() => server.close());
const { key: operator } = server.operator;

/** The twin has been asked for a code above already. */
function sandboxOneMinuteLater(): string | undefined {
  clock.advance(60);
  return sandbox;
}

/** Variables that one snippet sets and later ones use. */
const variables: Record<string, string> = {};

async function answerOf(script: string | undefined): Promise<string> {
  const { stdout } = await run(
    'bash',
    [
      '-euo',
      'pipefail',
      '-c',
      `${readJson}\n${script}\nfor name in SHOP OTP_KEY CODE SIGNED_IN PAGE PAGE_KEY SANDBOX_ISSUER TOKEN REFRESHED; do
      if [ -n "\${!name:-}" ]; then printf '\\n@@%s=%s' "$name" "\${!name}"; fi
    done`,
    ],
    {
      env: {
        ...process.env,
        PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
        GATELODGE_URL: url,
        OPERATOR: `${operator.id}:${operator.secret}`,
        ...variables,
      },
    },
  );
  const [answer = '', ...set] = stdout.split('\n@@');
  for (const each of set) variables[each.slice(0, each.indexOf('='))] = each.slice(each.indexOf('=') + 1);
  return answer;
}

test('every snippet of docs/sign-in.md does what the text beside it says', async () => {
  expect(others).toEqual([]);
  await answerOf(issuer);
  expect(JSON.parse(await answerOf(requestCode))).toEqual(shownAnswer);
  const app = SignIn.withKey({ url, operator: server.operator }, { secret: variables.OTP_KEY! });
  await app.nextCode('alice@example.com', 0);
  // The mailbox of development shows mails of the sandbox twin as well, and this one is newer.
  const sandboxKey = await server.operator.api.create(`/v1/issuers/${variables.SHOP}/api-keys`, {
    environment: 'sandbox',
  });
  const inSandbox = SignIn.withKey({ url, operator: server.operator }, { secret: sandboxKey.secret_plain });
  const notThis = await inSandbox.code('alice@example.com');
  await answerOf(readCode);
  expect(variables.CODE).toMatch(/^\d{6}$/);
  const [newest] = await app.mailsTo('alice@example.com');
  expect(newest).toMatchObject({ subject: 'Your code to sign in to Acme Shop (sandbox)' });
  expect(newest!.text).toContain(notThis);
  const signedIn = JSON.parse(await answerOf(verify));
  expect(signedIn).toMatchObject({ success: true, user: { email: 'alice@example.com' } });

  const [shellLine, folder, installation] = String(prepare).trim().split('\n');
  expect(folder).toBe('cd "$(mktemp -d)"');
  expect(installation).toBe(`npm install jose@${jose.version}`);
  await answerOf(shellLine);
  const claims = [...guide.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, names]) =>
    [...String(names).matchAll(/\w+/g)].map(([name]) => name),
  );
  const payload = decodeJwt(variables.TOKEN!);
  expect(claims).toEqual(expect.arrayContaining(Object.keys(payload)));
  expect(payload).toMatchObject({ client_id: 'otp', amr: ['otp'], organizations: [], environment: 'live' });

  // As the guide names it, where the library is found.
  const file = fileURLToPath(new URL('./verify-token.mjs', import.meta.url));
  await writeFile(file, verifyToken);
  try {
    const { stdout } = await run(process.execPath, [file], {
      env: { ...process.env, GATELODGE_URL: url, ...variables },
    });
    expect(stdout.trim()).toBe(`${signedIn.user.id} live`);
  } finally {
    await rm(file);
  }

  const left = await answerOf(stay);
  expect(left).toContain(signedIn.user.id);
  const token = JSON.parse(variables.REFRESHED!).token as string;
  const ended = await fetch(`${url}/auth/me`, { headers: { Authorization: `Bearer ${token}` } });
  expect(ended.status).toBe(401);

  expect((await answerOf(page)).trim().split(/\r?\n/)).toEqual([
    'HTTP/1.1 200 OK',
    'Access-Control-Allow-Origin: https://shop.example',
    'HTTP/1.1 403 Forbidden',
  ]);
  const changed = JSON.parse(await answerOf(laterOrigins)).data;
  expect(changed.restrictions.origins).toEqual(['https://shop.example', 'http://localhost:*']);
  expect(JSON.parse(await answerOf(noSecretKeys)).data).toMatchObject({
    error_format: 'flat',
    secret_keys_in_browsers: 'deny',
  });
  const [asked, sandboxCode] = (await answerOf(sandboxOneMinuteLater())).trim().split(/(?<=\})\n?/);
  expect(JSON.parse(asked!)).toMatchObject({ success: true });
  expect(sandboxCode).toMatch(/^\d{6}$/);
  expect(JSON.parse(await answerOf(settings)).data).toMatchObject({
    code_length: 8,
    mail: { brand_name: 'Acme', text: 'Your code is {{code}}.\n\nIt is good for {{minutes}} minutes.' },
  });
  clock.advance(60);
  expect(JSON.parse(await answerOf(device))).toMatchObject({ success: true, expires_in: 300 });
  expect(JSON.parse(await answerOf(device))).toMatchObject({ code: 'RATE_LIMITED' });
  const mail = await vi.waitFor(async () => {
    const [first] = await app.mailsTo('alice@example.com');
    expect(first?.subject).toMatch(/^\d{8} is your code for Acme$/);
    return first!;
  });
  expect(mail.text).toMatch(/^Your code is \d{8}\.\n\nIt is good for 5 minutes\.\n$/);
});

test('the table of settings is what their schema makes', () => {
  expect(guide).toBe(renderSignInPage(guide));
});

test('the table of errors names every refusal in the flat dialect that sign-in can answer', async () => {
  const told = new Set([...guide.matchAll(/^\| \d{3} \| `(\w+)` \|/gm)].map(([, code]) => code));
  for (const { errors } of [...otpContracts, ...authContracts])
    for (const code of errors ?? []) expect(told, code).toContain(refusals[code as RefusalCode].flat);
  expect(guide).toContain(`\`${refusals.missing_key.message}\` and \`${refusals.invalid_key.message}\``);
});

test('the budgets are those that the guide tells', () => {
  const told = [
    `| guesses at a code | ${otpLimits.guessesOfCode}, then`,
    `${otpLimits.guessesAnHour} an hour, ${otpLimits.guessesADay} a day; of these ${otpLimits.keptAnHour} and ${otpLimits.keptADay} are kept`,
    `one a minute, ${otpLimits.sendsAnHour - otpLimits.sendsKeptAnHour} an hour; ${otpLimits.sendsKeptAnHour} more for devices`,
    `| ${otpLimits.keyMailsAnHour} an hour; of these ${otpLimits.keyMailsKeptAnHour} are kept`,
    `| ${otpLimits.ipMailsAnHour} an hour; ${otpLimits.crowdedIpMailsAnHour} once strangers have had ${otpLimits.crowdedFromMailsAnHour} of`,
    `| ${otpLimits.addressMailsAnHour} an hour, but`,
    `${otpLimits.failuresBeforeLongCodes} an hour, make`,
    `${otpLimits.ipGuessesAnHour} an hour; of these ${otpLimits.ipGuessesKeptAnHour} are kept`,
    `${otpLimits.ipMailsAnHour} mails and ${otpLimits.ipGuessesAnHour} guesses an hour`,
    `good for ${otpLimits.deviceDays} days`,
  ];
  for (const text of told) expect(guide).toContain(text);
  expect(otpLimits.resendSeconds).toBe(60);
});
