import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { findLoginSettings } from './login-settings.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { id: accountId, api, key } = await createCustomer(server);
const create = async () => {
  const issuer = await TestIssuer.create(server, {}, {}, api);
  return { id: issuer.id, path: `${issuer.path}/login-settings`, issuerPath: issuer.path };
};

const defaults = {
  code_length: 6,
  code_lifetime_seconds: 600,
  sign_up: true,
  allowed_domains: [],
  access_token_seconds: 600,
  refresh_token_seconds: 2_592_000,
  audience: null,
  mail: { sender: null, subject: null, text: null, language: 'en', brand_name: null },
};

describe('200', () => {
  test('an issuer that has set nothing answers the defaults, with an ETag', async () => {
    const { path } = await create();
    const answer = await api.get(path);
    expect([answer.status, answer.body.data, answer.headers.get('ETag')]).toEqual([200, defaults, '"0"']);
  });

  test('a patch sets what it names, null sets it back, and what it sets is what signing in finds', async () => {
    const { id, path } = await create();
    const first = await api.patch(path, {
      code_length: 8,
      allowed_domains: ['Example.COM', 'bücher.example'],
      mail: { brand_name: 'Acme', text: 'Your code is {{code}}, for {{minutes}} minutes.' },
    });
    expect(first.body.data).toEqual({
      ...defaults,
      code_length: 8,
      allowed_domains: ['example.com', 'xn--bcher-kva.example'],
      mail: { ...defaults.mail, brand_name: 'Acme', text: 'Your code is {{code}}, for {{minutes}} minutes.' },
    });
    const second = await api.patch(path, { code_length: null, mail: { text: null, language: 'de' } });
    expect(second.body.data).toMatchObject({ code_length: 6, mail: { language: 'de', brand_name: 'Acme' } });
    expect(second.body.data.mail.text).toBeNull();
    const read = await api.get(path);
    expect([read.text, read.headers.get('ETag')]).toEqual([second.text, second.headers.get('ETag')]);
    const found = await server.running.services.database.withAccount(accountId, (tx) =>
      findLoginSettings(tx, { id, account: { id: accountId } }),
    );
    expect(found).toEqual(second.body.data);
  });

  test('one that changes nothing is no change: same version, no event', async () => {
    const { path } = await create();
    succeeded(await api.patch(path, { sign_up: false }));
    const before = await api.get(path);
    for (const body of [{}, { sign_up: false }, { mail: {} }, { audience: null }]) {
      const { result: answer, events } = await rows.eventsOf(() => api.patch(path, body));
      expect([answer.text, answer.headers.get('ETag'), events]).toEqual([
        before.text,
        before.headers.get('ETag'),
        [],
      ]);
    }
  });

  test('is one event with the names of what changed', async () => {
    const { id, path } = await create();
    const { events } = await rows.eventsOf(() =>
      api.patch(path, { sign_up: false, mail: { language: 'de' } }),
    );
    expect(events).toMatchObject([
      {
        type: 'login-settings.updated',
        issuer_id: id,
        subject_type: 'issuer',
        subject_id: id,
        actor: { id: key.id },
        data: { changed: ['sign_up', 'mail'] },
      },
    ]);
  });

  test('what a later build has stored is passed over', async () => {
    const { id, path } = await create();
    succeeded(await api.patch(path, { sign_up: false }));
    await rows.query(
      `update login_settings set settings = settings || '{"passkeys": true}' where issuer_id = $1`,
      [id],
    );
    expect((await api.get(path)).body.data).toEqual({ ...defaults, sign_up: false });
  });

  test('a value that a later build has stored and this one can’t take is as if it had not been set', async () => {
    const { path } = await create();
    succeeded(await api.patch(path, { sign_up: false, mail: { brand_name: 'Acme' } }));
    const later = { code_length: 9, refresh_token_seconds: 'never', allowed_domains: null, audience: ['x'] };
    await rows.query(
      `update login_settings set settings = (settings || $1) || jsonb_build_object('mail',
         settings->'mail' || '{"language": "fr", "footer": "x"}')
       where settings->'mail'->>'brand_name' = 'Acme' and issuer_id = $2`,
      [later, path.split('/')[3]],
    );
    const { status, body } = await api.get(path);
    expect([status, body.data]).toEqual([
      200,
      { ...defaults, sign_up: false, mail: { ...defaults.mail, brand_name: 'Acme' } },
    ]);
    await rows.query(`update login_settings set settings = '{"mail": 7}' where issuer_id = $1`, [
      path.split('/')[3],
    ]);
    expect((await api.get(path)).body.data).toEqual(defaults);
    expect((await api.patch(path, { code_length: 8 })).status).toBe(200);
  });

  test('a sandbox twin begins with those of its live issuer, and goes its own way then', async () => {
    const { path, issuerPath } = await create();
    succeeded(await api.patch(path, { code_length: 7 }));
    const twin = await api.create(`${issuerPath}/sandbox-issuer`);
    const ofTwin = `/v1/issuers/${twin.id}/login-settings`;
    expect((await api.get(ofTwin)).body.data.code_length).toBe(7);
    succeeded(await api.patch(ofTwin, { code_length: 8 }));
    expect((await api.get(path)).body.data.code_length).toBe(7);
  });
});

describe('403 and 404', () => {
  test('who may only read sets nothing; a sandbox key finds no live issuer', async () => {
    const { path, issuerPath } = await create();
    const reader = await withScopes(api, ['gatelodge.login-settings:read'], `${issuerPath}/api-keys`);
    expect((await reader.get(path)).status).toBe(200);
    expect((await reader.patch(path, { sign_up: false })).status).toBe(403);
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    expect((await sandbox.get(path)).status).toBe(404);
    expect((await sandbox.patch(path, { sign_up: false })).status).toBe(404);
  });
});

describe('412', () => {
  test('where somebody else was first, also at the first change', async () => {
    const { path } = await create();
    expect((await api.patch(path, { sign_up: false }, { 'If-Match': '"0"' })).status).toBe(200);
    expect((await api.patch(path, { sign_up: true }, { 'If-Match': '"0"' })).status).toBe(412);
  });
});

describe('422', () => {
  test.each([
    [{ code_length: 5 }, 'code_length'],
    [{ code_length: 6.5 }, 'code_length'],
    [{ code_lifetime_seconds: 59 }, 'code_lifetime_seconds'],
    [{ access_token_seconds: 3601 }, 'access_token_seconds'],
    [{ refresh_token_seconds: 31_536_001 }, 'refresh_token_seconds'],
    [{ allowed_domains: ['*.example.com'] }, 'allowed_domains[0]'],
    [{ allowed_domains: 'example.com' }, 'allowed_domains'],
    [{ audience: 'two words' }, 'audience'],
    [{ mail: { language: 'fr' } }, 'mail.language'],
    // Attack: a name that adds a header of its own to the mail.
    [{ mail: { sender: 'Acme\r\nBcc: mallory@example.com' } }, 'mail.sender'],
    [{ mail: { sender: 'Acme" <ceo@bank.example>' } }, 'mail.sender'],
    [{ mail: { subject: 'a\nb' } }, 'mail.subject'],
    [{ mail: { subject: '{{secret}}' } }, 'mail.subject'],
    [{ mail: { text: 'No code at all' } }, 'mail.text'],
    [{ mail: { text: '{{code}} {{user.id}}' } }, 'mail.text'],
    // Attack: a text in which something else is taken for the code.
    [{ mail: { text: 'Reference 123456. Your code: {{code}}' } }, 'mail.text'],
    [{ mail: { text: 'Your code: {code}. Or {{code}}' } }, 'mail.text'],
    [{ mail: { text: '{{code}}, good for { Minutes } minutes' } }, 'mail.text'],
    [{ mail: { subject: 'Code {code}' } }, 'mail.subject'],
    [{ mail: { text: '1{{code}}' } }, 'mail.text'],
    [{ mail: { text: '{{code}}{{code}}' } }, 'mail.text'],
    [{ mail: { text: '{{minutes}}{{code}}' } }, 'mail.text'],
    [{ mail: { text: '{{code}}{{minutes}}' } }, 'mail.text'],
    [{ mail: { text: 'Reference 12{{minutes}}34. Your code: {{code}}' } }, 'mail.text'],
    [{ mail: { subject: '{{code}}{{minutes}}' } }, 'mail.subject'],
    [{ refresh_token_seconds: 599 }, 'refresh_token_seconds'],
    [{ access_token_seconds: 900, refresh_token_seconds: 899 }, 'refresh_token_seconds'],
    [{ mail: { brand_name: 'Shop 123456' } }, 'mail.brand_name'],
    [{ mail: { brand_name: 'Acme\u202Egnp' } }, 'mail.brand_name'],
    [{ mail: { sender: 'Acme\u2028Bank' } }, 'mail.sender'],
    [{ mail: { template: 'x' } }, 'mail.template'],
    [{ issuer_id: 'x' }, 'issuer_id'],
  ])('%j names %s', async (body, field) => {
    const { path } = await create();
    const answer = await api.patch(path, body);
    expect([answer.status, answer.body.errors?.[0].path]).toEqual([422, field]);
  });
});
