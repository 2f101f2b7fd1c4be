import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { codeIn } from './harness/delivered-mail.ts';
import { MailServer } from './harness/mail-server.ts';
import { newAddress, SignIn } from './harness/otp-client.ts';
import { freePort } from './harness/process.ts';
import { readByPython } from './harness/python-jwt.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

let mail: MailServer;
let server: TestServer;
beforeAll(async () => {
  mail = await MailServer.start();
  const port = await freePort();
  server = await startTestServer({
    env: {
      ...mail.env,
      GATELODGE_PORT: String(port),
      // What reads tokens here follows the links of discovery.
      GATELODGE_PUBLIC_URL: `http://127.0.0.1:${port}`,
    },
  });
});
afterAll(async () => {
  await server?.close();
  await mail?.[Symbol.asyncDispose]();
});

/** Signs in with the code of the mail that the mail server has delivered. */
async function signIn(app: SignIn, email: string) {
  expect((await app.request(email)).status).toBe(200);
  const [delivered] = await mail.waitForMails(email);
  return app.verify(email, codeIn(delivered!));
}

test('whoever gets the mail signs in, and her token is good for libraries that know nothing of us', async () => {
  const issuer = await TestIssuer.create(server);
  const app = SignIn.withKey(server, await issuer.createKey());
  const email = newAddress();
  const { status, body } = await signIn(app, email);
  expect(status).toBe(200);
  const url = `${server.url}/${issuer.id}`;
  const expected = { iss: url, sub: body.user.id, aud: url, environment: 'live', amr: ['otp'] };

  const discovery = (await (await fetch(`${url}/.well-known/openid-configuration`)).json()) as {
    jwks_uri: string;
  };
  const keys = createRemoteJWKSet(new URL(discovery.jwks_uri));
  const { payload } = await jwtVerify(body.token, keys, { issuer: url, audience: url, typ: 'at+jwt' });
  expect(payload).toMatchObject(expected);
  expect(await readByPython(url, body.token)).toMatchObject({ claims: expected });

  const other = await TestIssuer.create(server);
  const keysOfOther = createRemoteJWKSet(new URL(`${server.url}/${other.id}/jwks.json`));
  await expect(jwtVerify(body.token, keysOfOther)).rejects.toThrow();
});

test('a token that somebody has changed is good for nobody', async () => {
  const issuer = await TestIssuer.create(server);
  const { body } = await signIn(SignIn.withKey(server, await issuer.createKey()), newAddress());
  const [head, claims, signature] = body.token.split('.');
  const changed = JSON.parse(Buffer.from(claims, 'base64url').toString());
  changed.sub = 'usr_somebody_else';
  const forged = [head, Buffer.from(JSON.stringify(changed)).toString('base64url'), signature].join('.');
  expect(await readByPython(`${server.url}/${issuer.id}`, forged)).toEqual({
    refused: 'InvalidSignatureError',
  });
});
