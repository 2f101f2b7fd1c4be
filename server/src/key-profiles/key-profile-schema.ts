import { z } from 'zod';
import { customHeaderPattern, type HeaderRole, takenHeaderReason } from './header-names.ts';
import { browserPolicies, errorFormats, presetNames, rateLimitHeaderStyles } from './key-profile.ts';

const maxKeyHeaders = 8;
const maxTemplateLength = 80;

function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: `choose one of ${values.map((value) => `"${value}"`).join(', ')}` });
}

function headerName(role: HeaderRole) {
  const isKey = role === 'key';
  const form = isKey ? /^(?:[Xx]-[A-Za-z0-9-]{1,60}|[Aa]uthorization)$/ : customHeaderPattern;
  const example = { key: 'X-API-Key', tenant: 'X-Tenant', environment: 'X-Environment' }[role];
  return z
    .string({ error: `a header name is a string, such as "${example}"` })
    .regex(form, {
      error: `a header name here is ${isKey ? '"Authorization", or ' : ''}"X-" and 1 to 60 letters, digits or hyphens, such as "${example}"`,
      abort: true,
    })
    .superRefine((name, context) => {
      const reason = takenHeaderReason(name, role);
      if (reason === null) return;
      context.addIssue({
        code: 'custom',
        params: { code: 'reserved_header' },
        message: `${name} ${reason}; choose another name, such as "${example}"`,
      });
    });
}

const prefixWord = z
  .string({ error: 'a word of a key prefix is a string, such as "live"' })
  .regex(
    /^[a-z0-9_]{1,32}$/,
    'a word of a key prefix has 1 to 32 characters of a-z, 0-9 and _, such as "live"',
  );

const label = z
  .string({ error: 'a label is a string, such as "LIVE"' })
  .regex(/^[A-Za-z0-9_-]{1,32}$/, 'a label has 1 to 32 letters, digits, _ or -, such as "LIVE"');

const prefixTemplate = z
  .string({ error: 'a prefix template is a string, such as "{kind}_{environment}_"' })
  .max(maxTemplateLength, {
    error: `shorten the template to at most ${maxTemplateLength} characters`,
    abort: true,
  })
  .regex(/^(?:[a-z0-9_]|\{kind\}|\{environment\})*$/, {
    error: 'a prefix template holds only a-z, 0-9, _ and the placeholders {kind} and {environment}',
    abort: true,
  })
  .refine((template) => template.split('{environment}').length === 2, {
    error:
      'put {environment} into the template exactly once, or live keys could not be told from sandbox keys',
  })
  .refine((template) => template.split('{kind}').length <= 2, { error: 'use {kind} at most once' });

const environmentNames = z.strictObject({ prefix: prefixWord, label });
const kinds = z.strictObject({ secret: prefixWord, publishable: prefixWord });
const tenantHeader = z.strictObject({
  name: headerName('tenant'),
  required: z.boolean({ error: 'required is true or false' }),
});

const flatFields = {
  preset: oneOf(presetNames),
  key_headers: z
    .array(headerName('key'), { error: 'key_headers is a list of header names, such as ["X-API-Key"]' })
    .min(1, 'name at least one key header, such as "X-API-Key"')
    .max(maxKeyHeaders, `name at most ${maxKeyHeaders} key headers`),
  prefix_template: prefixTemplate,
  environment_header: headerName('environment'),
  error_format: oneOf(errorFormats),
  rate_limit_headers: z
    .array(oneOf(rateLimitHeaderStyles), {
      error: 'rate_limit_headers is a list, such as ["x-ratelimit", "ietf"]',
    })
    .max(rateLimitHeaderStyles.length, { error: 'name each style at most once', abort: true })
    .refine((styles) => new Set(styles).size === styles.length, 'name each style at most once'),
  secret_keys_in_browsers: oneOf(browserPolicies),
};

/** A key profile as it is answered: every member present. */
export const keyProfileSchema = z.strictObject({
  ...flatFields,
  kinds,
  environments: z.strictObject({ live: environmentNames, sandbox: environmentNames }),
  tenant_header: tenantHeader.nullable(),
});

/**
 * The members of a key profile as they are asked for: each may be missing, at any depth, and then comes from the
 * preset. The rules that one member alone can break stand here; those between members in validate-key-profile.ts,
 * which also applies these, so a route needs this schema for its OpenAPI entry only.
 */
export const keyProfileRequestSchema = z
  .strictObject({
    ...flatFields,
    kinds: kinds.partial(),
    environments: z
      .strictObject({ live: environmentNames.partial(), sandbox: environmentNames.partial() })
      .partial(),
    tenant_header: tenantHeader.partial().nullable(),
  })
  .partial();

export type KeyProfileRequest = z.output<typeof keyProfileRequestSchema>;
