import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { flowSeconds } from '../src/login/flow-state.ts';
import { otpLimits } from '../src/otp/otp-limits.ts';
import { codeOf, LoginVisitor } from './harness/login-pages.ts';
import { claimsOf } from './harness/oidc-client.ts';
import { freePort } from './harness/process.ts';
import { startTestServer } from './harness/server.ts';

const run = promisify(execFile);
const guide = await readFile(new URL('../../docs/hosted-login.md', import.meta.url), 'utf8');
const [make, send, paste, redeem, picker, partner, look, leave, device, poll, ...others] = [
  ...guide.matchAll(/```sh\n(.*?)```/gs),
].map(([, snippet]) => String(snippet));
const readJson = String(/^read_json\(\).*$/m.exec(guide)?.[0]);

const port = await freePort();
const url = `http://localhost:${port}`;
const server = await startTestServer({
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
      `${readJson}\n${script}\nfor name in ACME CLIENT_ID CLIENT_SECRET VERIFIER CODE DEVICE DEVICE_CODE; do
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

test('every snippet of docs/hosted-login.md does what the text beside it says', async () => {
  expect(others).toEqual([]);
  await answerOf(make);
  const visitor = new LoginVisitor(server);
  const first = await visitor.go((await answerOf(send)).trim());
  expect(first.title).toBe('Sign in – Acme');
  const { page, code } = await visitor.askForCode(first, 'alice@example.com');
  const arrived = await visitor.submit(page, { code });
  expect(arrived.url.searchParams.get('state')).toBe('some-state');
  expect(arrived.url.searchParams.get('iss')).toBe(`${url}/${variables.ACME}`);
  await answerOf(paste!.replace('the-code', codeOf(arrived)!));
  const tokens = JSON.parse(await answerOf(redeem));
  expect(claimsOf(tokens.id_token).email).toBe('alice@example.com');

  expect(JSON.parse(await answerOf(picker)).data.organization_picker).toBe(false);
  expect(JSON.parse(await answerOf(partner)).data).toMatchObject({
    type: 'external',
    settings: { organization_scopes: ['invoices:read'] },
  });
  // What it is where nobody names it, as the text below the snippet says.
  const unnamed = partner!.replace(/"organization_scopes": .*/, '');
  expect(JSON.parse(await answerOf(unnamed)).data.settings.organization_scopes).toBeNull();
  expect(guide).toContain('Without `organization_scopes` any client gets whatever the user has');
  expect(JSON.parse(await answerOf(look)).data.mail.brand_name).toBe('Acme Invoices');

  const asked = await visitor.go((await answerOf(leave)).trim());
  expect(asked.title).toBe('Abmelden? – Acme Invoices');
  const left = await visitor.submit(asked);
  expect(left.url.href).toBe('https://app.example/');
  const again = await visitor.go((await answerOf(send)).trim(), { headers: { 'Accept-Language': 'fr' } });
  expect(again.title).toBe('Anmelden – Acme Invoices');

  const started = JSON.parse(await answerOf(device));
  expect(JSON.parse(await answerOf(poll)).error).toBe('authorization_pending');
  const shown = await visitor.go(started.verification_uri_complete);
  expect(shown.html).toContain(`value="${started.user_code}"`);
});

test('the figures are those that the guide tells', () => {
  const told = [
    `an issuer's pages, ${otpLimits.keyMailsAnHour} an hour`,
    `remembered for ${otpLimits.deviceDays}\n  days`,
    `After ${otpLimits.crowdedFromMailsAnHour} mails`,
    `gets ${otpLimits.crowdedIpMailsAnHour} of the rest instead of ${otpLimits.ipMailsAnHour},`,
  ];
  for (const text of told) expect(guide).toContain(text);
  expect([flowSeconds, otpLimits.guessesOfCode]).toEqual([3_600, 5]);
});
