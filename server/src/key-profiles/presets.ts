import type { KeyProfile, PresetName } from './key-profile.ts';

const common = {
  kinds: { secret: 'sk', publishable: 'pk' },
  environments: { live: { prefix: 'live', label: 'LIVE' }, sandbox: { prefix: 'sandbox', label: 'SANDBOX' } },
  tenant_header: null,
  environment_header: 'X-Environment',
  rate_limit_headers: ['x-ratelimit', 'ietf'],
} as const;

/** The profiles that can be chosen by name and then edited. */
export const presets: Readonly<Record<PresetName, KeyProfile>> = {
  standard: {
    ...common,
    preset: 'standard',
    key_headers: ['Authorization', 'X-API-Key'],
    prefix_template: 'gl_{environment}_{kind}_',
    error_format: 'problem',
    secret_keys_in_browsers: 'warn',
  },
  otp: {
    ...common,
    preset: 'otp',
    key_headers: ['X-OTP-API-Key'],
    prefix_template: 'otp_{environment}_{kind}_',
    error_format: 'flat',
    secret_keys_in_browsers: 'allow',
  },
  'tenant-header': {
    ...common,
    preset: 'tenant-header',
    key_headers: ['x-api-key'],
    prefix_template: '{kind}_{environment}_',
    environments: { live: { prefix: 'live', label: 'LIVE' }, sandbox: { prefix: 'dev', label: 'SANDBOX' } },
    tenant_header: { name: 'x-tn', required: true },
    error_format: 'nested',
    secret_keys_in_browsers: 'deny',
  },
  sandbox: {
    ...common,
    preset: 'sandbox',
    key_headers: ['x-tenant-api-key'],
    prefix_template: 'mlm_{environment}_',
    error_format: 'flat',
    secret_keys_in_browsers: 'deny',
  },
};

/** The headers that some preset takes a key from, lower-cased, each once; `authorization` is one of them. */
export const allPresetKeyHeaders: readonly string[] = [
  ...new Set(
    Object.values(presets).flatMap((preset) => preset.key_headers.map((name) => name.toLowerCase())),
  ),
];
