import { describe, expect, test } from 'vitest';
import {
  environmentLabel,
  environmentOfSecret,
  environments,
  keyKinds,
  kindOfSecret,
  presetNames,
  renderPrefix,
} from './key-profile.ts';
import { allPresetKeyHeaders, presets } from './presets.ts';

const body = 'aB3'.repeat(14).concat('xy');

describe('presets', () => {
  test.each([
    ['standard', ['gl_live_sk_', 'gl_sandbox_sk_', 'gl_live_pk_', 'gl_sandbox_pk_']],
    ['otp', ['otp_live_sk_', 'otp_sandbox_sk_', 'otp_live_pk_', 'otp_sandbox_pk_']],
    ['tenant-header', ['sk_live_', 'sk_dev_', 'pk_live_', 'pk_dev_']],
    ['sandbox', ['mlm_live_', 'mlm_sandbox_', 'mlm_live_', 'mlm_sandbox_']],
  ] as const)('%s gives its keys the prefixes of the contract', (name, prefixes) => {
    const rendered = keyKinds.flatMap((kind) =>
      environments.map((environment) => renderPrefix(presets[name], kind, environment)),
    );
    expect(rendered).toEqual(prefixes);
  });

  test.each(presetNames)('%s bears its own name and labels its environments LIVE and SANDBOX', (name) => {
    expect(presets[name].preset).toBe(name);
    expect(environments.map((environment) => environmentLabel(presets[name], environment))).toEqual([
      'LIVE',
      'SANDBOX',
    ]);
    expect(presets[name].environment_header).toBe('X-Environment');
    expect(presets[name].rate_limit_headers).toEqual(['x-ratelimit', 'ietf']);
  });

  test('has the rows of the contract', () => {
    const rows = presetNames.map((name) => {
      const { key_headers, tenant_header, error_format, secret_keys_in_browsers } = presets[name];
      return [name, key_headers, tenant_header, error_format, secret_keys_in_browsers];
    });
    expect(rows).toEqual([
      ['standard', ['Authorization', 'X-API-Key'], null, 'problem', 'warn'],
      ['otp', ['X-OTP-API-Key'], null, 'flat', 'allow'],
      ['tenant-header', ['x-api-key'], { name: 'x-tn', required: true }, 'nested', 'deny'],
      ['sandbox', ['x-tenant-api-key'], null, 'flat', 'deny'],
    ]);
  });

  test('lists the key headers of all presets once each, in lower case', () => {
    expect([...allPresetKeyHeaders].sort()).toEqual([
      'authorization',
      'x-api-key',
      'x-otp-api-key',
      'x-tenant-api-key',
    ]);
  });
});

describe('what a secret says by its beginning', () => {
  test.each(presetNames)(
    'the keys of %s tell their environment, and their kind where the template has it',
    (name) => {
      const profile = presets[name];
      for (const kind of keyKinds) {
        for (const environment of environments) {
          const secret = renderPrefix(profile, kind, environment) + body;
          expect(environmentOfSecret(profile, secret)).toBe(environment);
          expect(kindOfSecret(profile, secret)).toBe(name === 'sandbox' ? null : kind);
        }
      }
    },
  );

  test('a made-up key takes the environment that its prefix names', () => {
    expect(environmentOfSecret(presets['tenant-header'], 'sk_dev_')).toBe('sandbox');
    expect(environmentOfSecret(presets['tenant-header'], 'sk_dev_nonsense!')).toBe('sandbox');
  });

  test.each(['', 'sk', 'sk_dev', 'SK_LIVE_x', ' sk_live_x', 'gl_live_sk_x', '__proto__'])(
    '%j is of no environment',
    (secret) => {
      expect(environmentOfSecret(presets['tenant-header'], secret)).toBeNull();
      expect(kindOfSecret(presets['tenant-header'], secret)).toBeNull();
    },
  );
});
