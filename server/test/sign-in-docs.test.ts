import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { otpLimits } from '../src/otp/otp-limits.ts';
import { SignIn } from './harness/otp-client.ts';
import { freePort } from './harness/process.ts';
import { startTestServer, TestClock } from './harness/server.ts';

const run = promisify(execFile);
const guide = await readFile(new URL('../../docs/sign-in.md', import.meta.url), 'utf8');
const [issuer, requestCode, readCode, verify, stay, page, settings, device, ...others] = [
  ...guide.matchAll(/```sh\n(.*?)```/gs),
].map(([, snippet]) => String(snippet));
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

/** Variables that one snippet sets and later ones use. */
const variables: Record<string, string> = {};

async function answerOf(script: string | undefined): Promise<string> {
  const { stdout } = await run(
    'bash',
    [
      '-euo',
      'pipefail',
      '-c',
      `${readJson}\n${script}\nfor name in ISSUER OTP_KEY CODE SIGNED_IN PAGE_KEY TOKEN REFRESHED; do
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
  await answerOf(readCode);
  expect(variables.CODE).toMatch(/^\d{6}$/);
  const signedIn = JSON.parse(await answerOf(verify));
  expect(signedIn).toMatchObject({ success: true, user: { email: 'alice@example.com' } });

  const file = fileURLToPath(new URL('./sign-in-docs-snippet.mjs', import.meta.url));
  await writeFile(file, verifyToken);
  try {
    const { stdout } = await run(process.execPath, [file], {
      env: { ...process.env, GATELODGE_URL: url, ISSUER: variables.ISSUER!, TOKEN: signedIn.token },
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
  expect(JSON.parse(await answerOf(settings)).data).toMatchObject({
    code_length: 8,
    mail: { language: 'de' },
  });
  clock.advance(60);
  expect(JSON.parse(await answerOf(device))).toMatchObject({ success: true, expires_in: 300 });
});

test('the budgets are those that the guide tells', () => {
  const told = [
    `| guesses at a code | ${otpLimits.guessesOfCode}, then`,
    `${otpLimits.guessesAnHour} an hour, ${otpLimits.guessesADay} a day; of these ${otpLimits.keptAnHour} and ${otpLimits.keptADay} are kept`,
    `one a minute, ${otpLimits.sendsAnHour - otpLimits.sendsKeptAnHour} an hour; ${otpLimits.sendsKeptAnHour} more for devices`,
    `| ${otpLimits.keyMailsAnHour} an hour; of these ${otpLimits.keyMailsKeptAnHour} are kept`,
    `| ${otpLimits.ipMailsAnHour} an hour |`,
    `| ${otpLimits.addressMailsAnHour} an hour, but`,
    `${otpLimits.failuresBeforeLongCodes} an hour, make`,
    `${otpLimits.ipGuessesAnHour} an hour; of these ${otpLimits.ipGuessesKeptAnHour} are kept`,
    `${otpLimits.ipMailsAnHour} mails and ${otpLimits.ipGuessesAnHour} guesses an hour`,
    `good for ${otpLimits.deviceDays} days`,
  ];
  for (const text of told) expect(guide).toContain(text);
  expect(otpLimits.resendSeconds).toBe(60);
});
