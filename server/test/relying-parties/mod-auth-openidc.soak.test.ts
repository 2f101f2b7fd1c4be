import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installGatewayPrograms } from '../harness/gateway-programs.ts';
import { claimsOf } from '../harness/oidc-client.ts';
import { freePort, waitFor } from '../harness/process.ts';
import { snippetOf } from './packages.ts';
import { PartyApp } from './party-app.ts';
import { PartyBrowser, type Visit } from './party-browser.ts';
import { PartyWorld } from './world.ts';

const modules = [
  'mpm_event',
  'authn_core',
  'authz_core',
  'authz_user',
  'auth_openidc',
  'headers',
  'proxy',
  'proxy_http',
];

let world: PartyWorld;
let app: PartyApp;
let directory: string;
let apache: ChildProcess;
let url: string;
beforeAll(async () => {
  [world, app] = await Promise.all([PartyWorld.open(), PartyApp.start()]);
  app.handler = async ({ headers }) => Response.json(Object.fromEntries(headers));
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const { id, secret } = await world.register('mod_auth_openidc', url, {
    // As long before its end as the guide has it refreshed, so that each request does.
    access_token_seconds: 60,
  });
  const snippet = await snippetOf('mod_auth_openidc', {
    'https://login.example.com/i_yourissuer': world.issuerUrl,
    c_yourclient: id,
    'your-client-secret': secret,
    'https://app.example.com': url,
    'your-passphrase': 'a-passphrase-of-the-application',
  });
  directory = await mkdtemp(join(tmpdir(), 'gatelodge-mod-auth-openidc-'));
  // Started as root, Apache is another user when it answers.
  await chmod(directory, 0o777);
  const programs = await installGatewayPrograms();
  const log = join(directory, 'error.log');
  await writeFile(
    join(directory, 'apache2.conf'),
    `ServerRoot ${directory}
ServerName 127.0.0.1
DefaultRuntimeDir ${directory}
PidFile ${directory}/apache2.pid
ErrorLog ${log}
Listen 127.0.0.1:${port}
${modules.map((name) => `LoadModule ${name}_module ${programs.apacheModules}/mod_${name}.so`).join('\n')}
${userInfo().uid === 0 ? 'User www-data\nGroup www-data' : ''}
${snippet}
ProxyPass "/oidc" "!"
ProxyPass "/" "${app.url}/"
`,
  );
  apache = spawn(programs.apache, ['-X', '-f', join(directory, 'apache2.conf')], {
    cwd: directory,
    env: programs.env,
    stdio: 'ignore',
  });
  await waitFor(async () => {
    if (apache.exitCode !== null) throw new Error(`Apache ended: ${await readFile(log, 'utf8')}`);
    return (await accepts(port)) || null;
  });
});
afterAll(async () => {
  if (apache !== undefined && apache.exitCode === null) {
    const ended = once(apache, 'exit');
    apache.kill('SIGKILL');
    await ended;
  }
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  await app?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** What the application behind Apache is told. */
function told({ status, text, url: at }: Visit): Record<string, string> {
  expect([at.href, status]).toEqual([`${url}/books`, 200]);
  return JSON.parse(text);
}

async function signIn() {
  const user = await world.newUser();
  const browser = new PartyBrowser(world.server);
  const headers = told(await browser.signIn(`${url}/books`, user.address));
  return { user, browser, headers, token: headers.oidc_access_token! };
}

describe('mod_auth_openidc', () => {
  test('signs a user in and tells the application who it is, with its organizations', async () => {
    const { user, headers, token } = await signIn();
    expect(headers).toMatchObject({ oidc_claim_sub: user.id, oidc_claim_email: user.address });
    expect(headers.oidc_claim_name).toBe('Ada Lovelace');
    world.expectClaims(JSON.parse(headers.oidc_id_token_payload!), user);
    world.expectClaims(claimsOf(token), user);
  });

  test('refreshes as a token nears its end', async () => {
    const { user, browser, token } = await signIn();
    let last = token;
    for (let round = 0; round < 3; round++) {
      const next = await waitFor(async () => {
        const { oidc_access_token: now = '' } = told(await browser.go(`${url}/books`));
        return now === last ? null : now;
      });
      world.expectClaims(claimsOf(next), user);
      expect(claimsOf(next).sid).toBe(claimsOf(token).sid);
      last = next;
    }
    expect(await world.sessionOf(token)).toBe('active');
  });

  test('signs out at both sides', async () => {
    const { browser, token } = await signIn();
    const { url: at } = await browser.go(`${url}/oidc?logout=${encodeURIComponent(`${url}/goodbye`)}`);
    expect(at.href).toBe(`${url}/goodbye`);
    // It revokes its refresh token first.
    expect(await world.sessionOf(token)).toBe('token_revoked');
    expect((await browser.go(`${url}/books`)).page?.title).toContain('Sign in');
  });

  test('ends its session when it is told by the back channel that the user has signed out elsewhere', async () => {
    const { browser, headers, token } = await signIn();
    const other = await signIn();
    // The browser is at the login's own page, which asks first.
    const asked = await browser.go(`${world.issuerUrl}/logout`);
    await browser.press(asked);
    expect(await world.sessionOf(token)).toBe('logout');
    // The cookies are those of before, and a token that can't be refreshed changes nothing there: it has been told.
    await waitFor(async () => (await browser.go(`${url}/books`)).page);
    expect(told(await other.browser.go(`${url}/books`)).oidc_claim_sub).not.toBe(headers.oidc_claim_sub);
  });
});
