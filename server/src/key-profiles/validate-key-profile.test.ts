import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type KeyProfile, presetNames, renderedPrefixes, renderedPrefixPattern } from './key-profile.ts';
import { keyProfileRequestSchema, keyProfileSchema } from './key-profile-schema.ts';
import { presets } from './presets.ts';
import { resolveKeyProfile } from './validate-key-profile.ts';

function accepted(input: unknown): KeyProfile {
  const resolution = resolveKeyProfile(input);
  if (!resolution.ok) throw new Error(JSON.stringify(resolution.errors));
  return resolution.profile;
}

/** `path code` of each error. */
function faults(input: unknown): string[] {
  const resolution = resolveKeyProfile(input);
  return resolution.ok ? [] : resolution.errors.map(({ path, code }) => `${path} ${code}`);
}

describe('members left out', () => {
  test('an empty profile is the standard one', () => {
    expect(accepted({})).toEqual(presets.standard);
  });

  test.each(presetNames)('%s by its name alone is the preset, and resolves to itself', (preset) => {
    expect(accepted({ preset })).toEqual(presets[preset]);
    expect(accepted(presets[preset])).toEqual(presets[preset]);
  });

  test('come from the preset at any depth', () => {
    const profile = accepted({
      preset: 'tenant-header',
      kinds: { secret: 'secret' },
      environments: { sandbox: { prefix: 'test' } },
      tenant_header: { required: false },
    });
    expect(profile).toEqual({
      ...presets['tenant-header'],
      kinds: { secret: 'secret', publishable: 'pk' },
      environments: {
        live: { prefix: 'live', label: 'LIVE' },
        sandbox: { prefix: 'test', label: 'SANDBOX' },
      },
      tenant_header: { name: 'x-tn', required: false },
    });
  });

  test('a brand of its own is one edit of the sandbox preset', () => {
    expect(renderedPrefixes(accepted({ preset: 'sandbox', prefix_template: 'acme_{environment}_' }))).toEqual(
      [
        { prefix: 'acme_live_', kind: null, environment: 'live' },
        { prefix: 'acme_sandbox_', kind: null, environment: 'sandbox' },
      ],
    );
  });

  test('a tenant header that is named is required unless it says otherwise', () => {
    expect(accepted({ tenant_header: { name: 'X-Tenant' } }).tenant_header).toEqual({
      name: 'X-Tenant',
      required: true,
    });
    expect(faults({ tenant_header: { required: true } })).toEqual(['tenant_header.name required']);
    expect(accepted({ preset: 'tenant-header', tenant_header: null }).tenant_header).toBeNull();
  });

  test('a preset is not changed by the profiles made of it', () => {
    const before = structuredClone(presets);
    accepted({ preset: 'otp', key_headers: ['X-Mine'], environments: { live: { label: 'PROD' } } });
    expect(presets).toEqual(before);
  });
});

describe('shape', () => {
  test.each([null, undefined, 5, 'standard', [], true])('%j is no profile', (input) => {
    expect(faults(input)).toEqual([' invalid_type']);
  });

  test('a misspelled member is answered with the one that was likely meant', () => {
    const resolved = resolveKeyProfile({ environments: { sandbocks: {} } });
    expect(resolved).toMatchObject({
      errors: [{ message: 'a key profile has no such member; did you mean sandbox?' }],
    });
  });

  // Attack: a member that names an owner, or one of Object.prototype, rides along in the body.
  test.each([
    ['{"account_id":"acc_x"}', ['account_id unknown_member']],
    [
      '{"__proto__":{"preset":"otp"},"constructor":1}',
      ['__proto__ unknown_member', 'constructor unknown_member'],
    ],
    ['{"kinds":{"admin":"ak"}}', ['kinds.admin unknown_member']],
    ['{"environments":{"frozen":{}}}', ['environments.frozen unknown_member']],
    ['{"environments":{"live":{"__proto__":{}}}}', ['environments.live.__proto__ unknown_member']],
    ['{"tenant_header":{"name":"X-T","value":"x"}}', ['tenant_header.value unknown_member']],
  ])('unknown members are refused: %s', (text, expected) => {
    expect(faults(JSON.parse(text))).toEqual(expected);
  });

  test.each([
    [{ preset: 'gold' }, 'preset invalid_value'],
    [{ preset: null }, 'preset invalid_value'],
    [{ error_format: 'xml' }, 'error_format invalid_value'],
    [{ secret_keys_in_browsers: true }, 'secret_keys_in_browsers invalid_value'],
    [{ rate_limit_headers: ['x-ratelimit', 'x-ratelimit'] }, 'rate_limit_headers invalid'],
    [{ rate_limit_headers: ['none'] }, 'rate_limit_headers[0] invalid_value'],
    [{ key_headers: [] }, 'key_headers too_small'],
    [{ key_headers: 'X-API-Key' }, 'key_headers invalid_type'],
    [{ key_headers: Array.from({ length: 9 }, (_, index) => `X-Key-${index}`) }, 'key_headers too_big'],
    [{ environment_header: null }, 'environment_header invalid_type'],
    [{ kinds: null }, 'kinds invalid_type'],
    [{ tenant_header: 'X-Tenant' }, 'tenant_header invalid_type'],
    [{ tenant_header: { name: 'X-Tenant', required: 'yes' } }, 'tenant_header.required invalid_type'],
  ])('%j is refused at %s', (input, expected) => {
    expect(faults(input)).toEqual([expected]);
  });

  test('rate limit headers can be switched off', () => {
    expect(accepted({ rate_limit_headers: [] }).rate_limit_headers).toEqual([]);
  });
});

describe('header names', () => {
  const dangerous = [
    'X-Forwarded-For',
    'X-Forwarded-Host',
    'x-forwarded-anything',
    'X-Forwarded',
    'X-Real-IP',
    'X-REAL-x',
    'X-Accel-Redirect',
    'X-Accel-Buffering',
    'X-Sendfile',
    'X-Gatelodge-Key-Id',
    'x-gatelodge',
    'X-Request-Id',
    'X-RateLimit-Limit',
    'X-Rate-Limit',
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-Auth-Request-User',
    'X-Remote-User',
    'X-Client-Cert',
    'X-SSL-Client-S-DN',
    'X-Frame-Options',
    'X-Content-Type-Options',
    'X-XSS-Protection',
    'X-Requested-With',
    'X-CSRF-Token',
    'X-XSRF-TOKEN',
    'X-DNS-Prefetch-Control',
    'X-Client-IP',
    'X-Envoy-Original-Path',
    'X-Host',
    'X-Powered-By',
    'X-Reproxy-URL',
    'X-LIGHTTPD-send-file',
    'X-Consumer-ID',
    'X-Pingback',
    'X-Runtime',
    'X-Served-By',
    'X-Via',
    'X-Wap-Profile',
    'X-Idempotency-Key',
    'X-Amzn-Trace-Id',
    'X-Request-ID2',
    'X-Http-Host-Override',
    'X-Forward-For',
    'X-ProxyUser-Ip',
    'X-Nginx-Proxy',
    'X-Rack-Cache',
    'X-Middleware-Subrequest',
    'X-User',
    'X-Username',
    'X-WEBAUTH-USER',
    'X-Grafana-User',
    'X-Kubernetes-User',
    'X-Backend-Server',
    'X-Authenticated-Userid',
    'Origin',
    'Cookie',
    'Set-Cookie',
    'Host',
    'Referer',
    'Content-Type',
    'Content-Length',
    'Sec-Fetch-Site',
    'Access-Control-Allow-Origin',
    'Connection',
    'Transfer-Encoding',
    'TE',
    'Upgrade',
    'Via',
    'Forwarded',
    'Vary',
    'Proxy-Authorization',
    'WWW-Authenticate',
    'Location',
    'Link',
    'RateLimit',
    'Idempotency-Key',
    'If-Match',
    'Date',
    '',
    'X-',
    'X',
    'X_API_Key',
    'X-Api Key',
    'X-Key:',
    'X-Key\r\nSet-Cookie: a',
    'X-Key\n',
    ' X-Key',
    'X-Kéy',
    'X-Key\0',
    `X-${'a'.repeat(61)}`,
    'Х-API-Key',
    'AUTHORIZATION ',
    'Authorization2',
    'Bearer',
  ];

  // Attack: a profile names a header that a proxy, the browser or Gatelodge trusts, and so reads or writes it.
  test.each(dangerous)('%j is refused in every role', (name) => {
    expect(resolveKeyProfile({ key_headers: [name] }).ok).toBe(false);
    expect(resolveKeyProfile({ tenant_header: { name } }).ok).toBe(false);
    expect(resolveKeyProfile({ environment_header: name }).ok).toBe(false);
  });

  test('only a key header may be Authorization, only the environment header X-Environment', () => {
    expect(accepted({ key_headers: ['Authorization'] }).key_headers).toEqual(['Authorization']);
    expect(accepted({ key_headers: ['authorization'] }).key_headers).toEqual(['authorization']);
    expect(faults({ tenant_header: { name: 'Authorization' } })).toEqual([
      'tenant_header.name invalid_format',
    ]);
    expect(faults({ environment_header: 'Authorization' })).toEqual(['environment_header invalid_format']);
    expect(accepted({ environment_header: 'x-environment' }).environment_header).toBe('x-environment');
    expect(faults({ key_headers: ['x-environment'] })).toEqual(['key_headers[0] reserved_header']);
    expect(faults({ tenant_header: { name: 'X-Environment' } })).toEqual([
      'tenant_header.name reserved_header',
    ]);
  });

  test.each([
    'X-Tenant-Id',
    'x-org',
    'X-Customer',
    'X-TN',
    'X-Api-Version',
    'X-Access-Token',
    'X-User-Pool',
    `X-${'a'.repeat(60)}`,
  ])('%s is free', (name) => {
    expect(accepted({ tenant_header: { name } }).tenant_header?.name).toBe(name);
    expect(accepted({ key_headers: [name] }).key_headers).toEqual([name]);
  });

  test('no two headers of a profile are one, whatever their case', () => {
    expect(faults({ key_headers: ['X-Key', 'X-Other', 'x-kEY'] })).toEqual(['key_headers[2] duplicate']);
    expect(faults({ key_headers: ['X-Key'], tenant_header: { name: 'x-key' } })).toEqual([
      'tenant_header.name conflict',
    ]);
    expect(faults({ key_headers: ['X-Key'], environment_header: 'X-KEY' })).toEqual([
      'environment_header conflict',
    ]);
    expect(faults({ tenant_header: { name: 'X-T' }, environment_header: 'x-t' })).toEqual([
      'environment_header conflict',
    ]);
  });

  // Attack: the tenant header is one that GET /v1/me reads keys from, so that a tenant's name is taken for a key.
  test('a key header of any preset is no tenant header', () => {
    expect(faults({ preset: 'otp', tenant_header: { name: 'x-tenant-api-key' } })).toEqual([
      'tenant_header.name conflict',
    ]);
    expect(faults({ preset: 'otp', environment_header: 'X-API-Key' })).toEqual([
      'environment_header conflict',
    ]);
  });
});

describe('labels and words', () => {
  test.each(['', 'a b', 'LIVE\r\nX: y', 'é', 'a'.repeat(33), '<b>', 'a;b'])(
    'the label %j is refused',
    (label) => {
      expect(faults({ environments: { live: { label } } })).toEqual([
        'environments.live.label invalid_format',
      ]);
    },
  );

  test.each(['Production', 'TEST_1', 'a', 'A-b', 'a'.repeat(32)])('the label %j is taken', (label) => {
    expect(accepted({ environments: { live: { label } } }).environments.live.label).toBe(label);
  });

  test.each([
    [{ live: { prefix: 'sandbox' }, sandbox: { prefix: 'trial' } }, 'environments.live.prefix'],
    [{ live: { prefix: 'dev' }, sandbox: { prefix: 'trial' } }, 'environments.live.prefix'],
    [{ live: { prefix: '_test_' } }, 'environments.live.prefix'],
    [{ live: { label: 'Sandbox' }, sandbox: { label: 'Trial' } }, 'environments.live.label'],
    [{ live: { label: 'TEST' } }, 'environments.live.label'],
    [{ live: { prefix: 'p' }, sandbox: { prefix: 'live' } }, 'environments.sandbox.prefix'],
    [{ sandbox: { prefix: 'prod' } }, 'environments.sandbox.prefix'],
    [{ live: { label: 'REAL' }, sandbox: { label: 'Live' } }, 'environments.sandbox.label'],
    [{ sandbox: { label: 'PRODUCTION' } }, 'environments.sandbox.label'],
  ])('%j would pass one environment off for the other, and is refused', (environments, path) => {
    // Attack: live and sandbox swap their names, so that whoever guards live keys lets them through as trial ones.
    expect(faults({ environments })).toEqual([`${path} misleading`]);
  });

  test('live and sandbox that swap all their names are refused for each', () => {
    const live = { prefix: 'sandbox', label: 'SANDBOX' };
    const sandbox = { prefix: 'live', label: 'LIVE' };
    expect(faults({ environments: { live, sandbox } }).sort()).toEqual([
      'environments.live.label misleading',
      'environments.live.prefix misleading',
      'environments.sandbox.label misleading',
      'environments.sandbox.prefix misleading',
    ]);
  });

  test('two environments with one label are refused, since the header could not tell them apart', () => {
    expect(faults({ environments: { sandbox: { label: 'live' } } })).toEqual([
      'environments.sandbox.label duplicate',
    ]);
  });

  test.each(['', 'SK', 's-k', 'sé', '{kind}', 'a'.repeat(33)])(
    'the word %j of a prefix is refused',
    (word) => {
      expect(faults({ kinds: { secret: word } })).toEqual(['kinds.secret invalid_format']);
      expect(faults({ environments: { live: { prefix: word } } })).toEqual([
        'environments.live.prefix invalid_format',
      ]);
    },
  );
});

describe('prefixes', () => {
  test.each([
    ['', 'prefix_template invalid'],
    ['acme_', 'prefix_template invalid'],
    ['{kind}_', 'prefix_template invalid'],
    ['{environment}{environment}', 'prefix_template invalid'],
    ['{kind}{kind}{environment}', 'prefix_template invalid'],
    ['{Kind}_{environment}_', 'prefix_template invalid_format'],
    ['acme-{environment}-', 'prefix_template invalid_format'],
    ['{tenant}_{environment}_', 'prefix_template invalid_format'],
    ['$&{environment}_', 'prefix_template invalid_format'],
    ['{environment', 'prefix_template invalid_format'],
    ['a'.repeat(100), 'prefix_template too_big'],
    [`${'a'.repeat(36)}{environment}_`, 'prefix_template invalid_prefix'],
  ])('the template %j is refused', (prefix_template, expected) => {
    expect(faults({ prefix_template })).toEqual([expected]);
  });

  // Attack: a sandbox key that passes for a live one, or a publishable key for a secret one, by its look.
  test.each([
    [{ environments: { live: { prefix: 'x' }, sandbox: { prefix: 'x' } } }, 'environments.sandbox.prefix'],
    [{ kinds: { secret: 'k', publishable: 'k' } }, 'kinds.publishable'],
    [
      {
        prefix_template: '{kind}{environment}',
        kinds: { secret: 'a', publishable: 'ab' },
        environments: { live: { prefix: 'bc' }, sandbox: { prefix: 'c' } },
      },
      'prefix_template',
    ],
    [
      {
        preset: 'sandbox',
        prefix_template: '{environment}',
        environments: { live: { prefix: 'key' }, sandbox: { prefix: 'keys' } },
      },
      'prefix_template',
    ],
    [
      { prefix_template: '{environment}_{kind}', kinds: { secret: 'k', publishable: 'kp' } },
      'prefix_template',
    ],
    [
      {
        prefix_template: '{environment}_',
        environments: { live: { prefix: 'key' }, sandbox: { prefix: 'key_dev' } },
      },
      'prefix_template',
    ],
  ])('%j could not tell its keys apart', (input, path) => {
    expect(faults(input)).toEqual([`${path} ambiguous_prefix`]);
  });

  test('one word for both kinds is fine where the template does not name the kind', () => {
    expect(accepted({ preset: 'sandbox', kinds: { secret: 'k', publishable: 'k' } }).kinds.secret).toBe('k');
  });
});

test('tells all errors at once, each with its place', () => {
  expect(
    faults({
      owner: 1,
      key_headers: ['Cookie', 'X-Real-IP'],
      kinds: { secret: 'SK' },
      environments: { live: { label: 'same' }, sandbox: { label: 'SAME' } },
      tenant_header: { name: 'X-Environment' },
      environment_header: 'X-API-Key',
      error_format: 'xml',
      prefix_template: 'x',
    }).sort(),
  ).toEqual([
    'environments.sandbox.label duplicate',
    'error_format invalid_value',
    'key_headers[0] invalid_format',
    'key_headers[1] reserved_header',
    'kinds.secret invalid_format',
    'owner unknown_member',
    'prefix_template invalid',
    'tenant_header.name reserved_header',
  ]);
});

test('a hostile body is answered with at most 50 errors and short paths', () => {
  const input = Object.fromEntries(
    Array.from({ length: 5000 }, (_, index) => [`${index}${'x'.repeat(5000)}`, 1]),
  );
  const resolution = resolveKeyProfile(input);
  expect(resolution.ok).toBe(false);
  expect(JSON.stringify(resolution).length).toBeLessThan(20_000);
});

describe('whatever comes', () => {
  const word = fc.oneof(
    fc.stringMatching(/^[a-z0-9_]{1,6}$/),
    fc.constantFrom('sk', 'pk', 'a', 'ab', 'b', '', 'A'),
  );
  const header = fc.oneof(
    fc.stringMatching(/^[Xx]-[A-Za-z0-9-]{1,8}$/),
    fc.constantFrom(
      'Authorization',
      'x-api-key',
      'X-API-Key',
      'x-tn',
      'X-Environment',
      'X-Forwarded-For',
      'Cookie',
    ),
  );
  const label = fc.oneof(fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/), fc.constantFrom('LIVE', 'live', ''));
  const names = fc.record({ prefix: word, label }, { requiredKeys: [] });
  const template = fc.array(fc.constantFrom('{kind}', '{environment}', '_', 'a', 'b', 'gl_'), {
    maxLength: 6,
  });
  const profileLike = fc.record(
    {
      preset: fc.constantFrom(...presetNames),
      key_headers: fc.array(header, { maxLength: 4 }),
      prefix_template: template.map((parts) => parts.join('')),
      kinds: fc.record({ secret: word, publishable: word }, { requiredKeys: [] }),
      environments: fc.record({ live: names, sandbox: names }, { requiredKeys: [] }),
      tenant_header: fc.option(fc.record({ name: header, required: fc.boolean() }, { requiredKeys: [] })),
      environment_header: header,
      error_format: fc.constantFrom('nested', 'flat', 'problem'),
      rate_limit_headers: fc.subarray(['x-ratelimit', 'ietf']),
      secret_keys_in_browsers: fc.constantFrom('allow', 'warn', 'deny'),
    },
    { requiredKeys: [] },
  );

  test('an accepted profile resolves to itself and is one the answer schema takes', () => {
    fc.assert(
      fc.property(profileLike, (input) => {
        const resolution = resolveKeyProfile(input);
        fc.pre(resolution.ok);
        expect(accepted(resolution.profile)).toEqual(resolution.profile);
        expect(keyProfileSchema.parse(resolution.profile)).toEqual(resolution.profile);
      }),
      { numRuns: 1000 },
    );
  });

  test('an accepted profile tells each of its keys apart by the beginning, and no two of its headers are one', () => {
    fc.assert(
      fc.property(profileLike, (input) => {
        const resolution = resolveKeyProfile(input);
        fc.pre(resolution.ok);
        const { profile } = resolution;
        const prefixes = renderedPrefixes(profile).map(({ prefix }) => prefix);
        expect(prefixes.every((prefix) => renderedPrefixPattern.test(prefix))).toBe(true);
        for (const one of prefixes) expect(prefixes.filter((other) => other.startsWith(one))).toEqual([one]);
        const headers = [
          ...profile.key_headers,
          profile.environment_header,
          profile.tenant_header?.name ?? 'none',
        ];
        expect(new Set(headers.map((name) => name.toLowerCase())).size).toBe(headers.length);
      }),
      { numRuns: 1000 },
    );
  });

  test('a refusal always says why, and nothing ever throws', () => {
    const anything = fc.oneof(
      fc.anything(),
      fc.dictionary(fc.constantFrom(...Object.keys(keyProfileRequestSchema.shape)), fc.anything()),
      profileLike,
    );
    fc.assert(
      fc.property(anything, (input) => {
        const resolution = resolveKeyProfile(input);
        if (resolution.ok) return;
        expect(resolution.errors.length).toBeGreaterThan(0);
        expect(resolution.errors.every(({ message, code }) => message !== '' && code !== '')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
