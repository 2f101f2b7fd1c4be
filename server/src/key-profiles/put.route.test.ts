import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { presetNames } from './key-profile.ts';
import { presets } from './presets.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const path = `${issuer.path}/key-profile`;

describe('200', () => {
  test.each(presetNames)('the preset %s is chosen by its name', async (preset) => {
    const answer = await api.put(path, { preset });
    expect([answer.status, answer.body]).toEqual([200, { data: presets[preset] }]);
    const read = await api.get(path);
    expect([read.body, read.headers.get('ETag')]).toEqual([answer.body, answer.headers.get('ETag')]);
  });

  test('each member can differ from the preset, at any depth', async () => {
    const answer = await api.put(path, {
      preset: 'tenant-header',
      key_headers: ['X-Acme-Key', 'Authorization'],
      kinds: { secret: 'sec' },
      environments: { sandbox: { label: 'TEST' } },
      tenant_header: { required: false },
      error_format: 'flat',
    });
    expect(answer.body.data).toEqual({
      ...presets['tenant-header'],
      key_headers: ['X-Acme-Key', 'Authorization'],
      kinds: { secret: 'sec', publishable: 'pk' },
      environments: { live: { prefix: 'live', label: 'LIVE' }, sandbox: { prefix: 'dev', label: 'TEST' } },
      tenant_header: { name: 'x-tn', required: false },
      error_format: 'flat',
    });
  });

  test('it is replaced, not merged: what is left out is the preset’s again', async () => {
    succeeded(await api.put(path, { preset: 'otp', error_format: 'nested' }));
    expect((await api.put(path, { preset: 'otp' })).body.data).toEqual(presets.otp);
    expect((await api.put(path, {})).body.data).toEqual(presets.standard);
  });

  test('what was answered can be put back as it is', async () => {
    const given = (await api.put(path, { preset: 'sandbox', prefix_template: 'brand_{environment}_' })).body
      .data;
    expect((await api.put(path, given)).body.data).toEqual(given);
  });

  test('new keys take the new looks, and old ones go on working', async () => {
    const issuer = await TestIssuer.create(server, { preset: 'standard' }, {}, api);
    const old = await issuer.createKey();
    expect(old.secret).toMatch(/^gl_live_sk_/);
    await issuer.setProfile({ preset: 'otp' });
    const young = await issuer.createKey({ environment: 'sandbox' });
    expect(young.secret).toMatch(/^otp_sandbox_sk_/);
    for (const { secret } of [old, young]) {
      expect((await api.post('/v1/keys/verify', { key: secret })).body.code).toBe('VALID');
      expect((await issuer.authorize({ 'X-OTP-API-Key': secret })).status).toBe(200);
    }
    expect((await api.get(old.path)).body.data.hint).toMatch(/^gl_live_sk_…\w{4}$/);
  });

  test('errors speak the new dialect by the very next request', async () => {
    const issuer = await TestIssuer.create(server, { preset: 'tenant-header' }, {}, api);
    expect((await issuer.authorize()).body).toEqual({
      error: {
        code: 'authentication_failed',
        message: 'Missing API key',
        type: 'authentication_error',
      },
    });
    await issuer.setProfile({ preset: 'otp' });
    expect((await issuer.authorize()).body).toEqual({ error: 'Missing API key', code: 'UNAUTHORIZED' });
  });

  test('is one event that names the preset', async () => {
    const { events } = await rows.eventsOf(() => api.put(path, { preset: 'otp' }));
    expect(events).toMatchObject([
      {
        type: 'key-profile.updated',
        issuer_id: issuer.id,
        subject_id: issuer.id,
        actor: { id: key.id },
        data: { preset: 'otp' },
      },
    ]);
  });
});

describe('412', () => {
  test('of 50 at once that name the same version exactly one is made', async () => {
    const etag = (await api.get(path)).headers.get('ETag')!;
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, (index) =>
        api.put(path, { prefix_template: `k${index}_{environment}_` }, { 'If-Match': etag }),
      ),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won.length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'precondition_failed').length).toBe(49);
    expect((await api.get(path)).body).toEqual(won[0]!.body);
    expect(events.length).toBe(1);
  });

  test('the version of the issuer is not that of its profile', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'x' });
    succeeded(await api.patch(`/v1/issuers/${id}`, { name: 'y' }));
    const ofIssuer = (await api.get(`/v1/issuers/${id}`)).headers.get('ETag')!;
    expect((await api.put(`/v1/issuers/${id}/key-profile`, {}, { 'If-Match': ofIssuer })).status).toBe(412);
  });
});

describe('422', () => {
  // The rules themselves are tested in validate-key-profile.test.ts; here, that they stand before the database.
  test.each([
    [{ preset: 'mine' }, 'preset', 'invalid_value'],
    [
      { prefix_template: 'gl_{kind}{environment}', kinds: { secret: 's', publishable: 'slive' } },
      'prefix_template',
      'ambiguous_prefix',
    ],
    [{ environments: { sandbox: { prefix: 'live' } } }, 'environments.sandbox.prefix', 'ambiguous_prefix'],
    [{ kinds: { publishable: 'sk' } }, 'kinds.publishable', 'ambiguous_prefix'],
    [{ prefix_template: '{kind}_' }, 'prefix_template', 'invalid'],
    [{ prefix_template: 'GL_{environment}_' }, 'prefix_template', 'invalid_format'],
    [{ environments: { sandbox: { label: 'live' } } }, 'environments.sandbox.label', 'duplicate'],
    // The attack: a profile that has us read or write a header that somebody trusts.
    [{ key_headers: ['X-Forwarded-For'] }, 'key_headers[0]', 'reserved_header'],
    [{ environment_header: 'X-Gatelodge-Account-Id' }, 'environment_header', 'reserved_header'],
    [{ environment_header: 'Set-Cookie' }, 'environment_header', 'invalid_format'],
    [{ environment_header: 'X-A\r\nSet-Cookie: a=b' }, 'environment_header', 'invalid_format'],
    [{ environments: { live: { label: 'a\r\nX-Evil: 1' } } }, 'environments.live.label', 'invalid_format'],
    [{ tenant_header: { name: 'X-Request-Id' } }, 'tenant_header.name', 'reserved_header'],
    [{ key_headers: [] }, 'key_headers', 'too_small'],
    [{ key_headers: ['X-Key', 'x-key'] }, 'key_headers[1]', 'duplicate'],
    [{ error_format: 'xml' }, 'error_format', 'invalid_value'],
    [{ secret_keys_in_browsers: 'maybe' }, 'secret_keys_in_browsers', 'invalid_value'],
    [{ issuer_id: 'i_0000000000000000000000000' }, 'issuer_id', 'unknown_member'],
    [{ kinds: { admin: 'ak' } }, 'kinds.admin', 'unknown_member'],
  ])('%j is refused at %s and changes nothing', async (body, at, code) => {
    const before = await rows.snapshot();
    const answer = await api.put(path, body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors).toContainEqual(
      expect.objectContaining({ path: at, code, message: expect.stringMatching(/\w{4}/) }),
    );
    expect(await rows.snapshot()).toEqual(before);
  });

  test('every reason at once', async () => {
    const answer = await api.put(path, {
      environment_header: 'Cookie',
      key_headers: ['X-Real-IP', 'bad header'],
      surprise: 1,
    });
    expect(answer.body.errors.map((error: { path: string }) => error.path).sort()).toEqual([
      'environment_header',
      'key_headers[0]',
      'key_headers[1]',
      'surprise',
    ]);
  });
});

describe('404', () => {
  test('under a live issuer for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const before = await rows.snapshot();
    expect((await sandbox.put(path, {})).status).toBe(404);
    expect(await rows.snapshot()).toEqual(before);
  });
});
