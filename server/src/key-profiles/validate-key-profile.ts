import { z } from 'zod';
import { remedyOf } from '../http/unknown-member.ts';
import { knownNames, namesIn } from '../http/validation.ts';
import type { EnvironmentNames, KeyProfile, TenantHeader } from './key-profile.ts';
import { type KeyProfileRequest, keyProfileRequestSchema } from './key-profile-schema.ts';
import { presets } from './presets.ts';
import { type KeyProfileError, profileRules } from './profile-rules.ts';

export type KeyProfileResolution =
  | { ok: true; profile: KeyProfile }
  | { ok: false; errors: KeyProfileError[] };

/** Enough to mend a profile by, and too few for a hostile body to be answered with megabytes. */
const maxErrors = 50;
const maxEchoedName = 100;

/**
 * Makes a whole key profile of a preset's name (default `standard`) and the members that differ from it; members left
 * out, at any depth, come from the preset. A tenant header named where the preset has none is required unless it says
 * otherwise. Refuses a profile that could not tell its own keys apart or that names a dangerous header, with all
 * errors at once (at most 50). A resolved profile resolves to itself.
 */
export function resolveKeyProfile(input: unknown): KeyProfileResolution {
  const parsed = keyProfileRequestSchema.safeParse(input, { error: knownNames });
  const issues = parsed.success ? [] : withoutEchoes(parsed.error.issues);
  const errors = issues.flatMap(toErrors);
  const broken = new Set(issues.map(({ path }) => path[0]));
  const request = parsed.success ? parsed.data : parseSoundMembers(input, broken);
  // Without a known preset nobody can say what the members left out are.
  if (request === null || broken.has('preset')) return refused(errors);
  const profile = overlay(request);
  const rules = profileRules.filter(({ reads }) => !reads.some((member) => broken.has(member)));
  errors.push(...missingTenantHeaderName(request), ...rules.flatMap(({ errorsOf }) => errorsOf(profile)));
  return errors.length === 0 ? { ok: true, profile } : refused(errors);
}

function refused(errors: KeyProfileError[]): KeyProfileResolution {
  return { ok: false, errors: errors.slice(0, maxErrors) };
}

/** The members that are well formed by themselves, so that their conflicts are told along with the broken ones. */
function parseSoundMembers(
  input: unknown,
  broken: ReadonlySet<PropertyKey | undefined>,
): KeyProfileRequest | null {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return null;
  const sound = Object.entries(input).filter(
    ([member]) => Object.hasOwn(keyProfileRequestSchema.shape, member) && !broken.has(member),
  );
  return keyProfileRequestSchema.parse(Object.fromEntries(sound));
}

function overlay(request: KeyProfileRequest): KeyProfile {
  const preset = presets[request.preset ?? 'standard'];
  return {
    preset: preset.preset,
    key_headers: request.key_headers ?? preset.key_headers,
    prefix_template: request.prefix_template ?? preset.prefix_template,
    kinds: {
      secret: request.kinds?.secret ?? preset.kinds.secret,
      publishable: request.kinds?.publishable ?? preset.kinds.publishable,
    },
    environments: {
      live: overlayNames(request.environments?.live, preset.environments.live),
      sandbox: overlayNames(request.environments?.sandbox, preset.environments.sandbox),
    },
    tenant_header: overlayTenantHeader(request.tenant_header, preset.tenant_header),
    environment_header: request.environment_header ?? preset.environment_header,
    error_format: request.error_format ?? preset.error_format,
    rate_limit_headers: request.rate_limit_headers ?? preset.rate_limit_headers,
    secret_keys_in_browsers: request.secret_keys_in_browsers ?? preset.secret_keys_in_browsers,
  };
}

type Given<T> = { readonly [K in keyof T]?: T[K] | undefined };

function overlayNames(
  given: Given<EnvironmentNames> | undefined,
  preset: EnvironmentNames,
): EnvironmentNames {
  return { prefix: given?.prefix ?? preset.prefix, label: given?.label ?? preset.label };
}

function overlayTenantHeader(
  given: Given<TenantHeader> | null | undefined,
  preset: TenantHeader | null,
): TenantHeader | null {
  if (given === undefined) return preset;
  if (given === null) return null;
  const name = given.name ?? preset?.name;
  // Without a name there is an error in any case, see missingTenantHeaderName.
  return name === undefined ? null : { name, required: given.required ?? preset?.required ?? true };
}

function missingTenantHeaderName({ preset, tenant_header: given }: KeyProfileRequest): KeyProfileError[] {
  if (!given || given.name !== undefined || presets[preset ?? 'standard'].tenant_header !== null) return [];
  return [
    {
      path: 'tenant_header.name',
      message: 'name the tenant header, such as "X-Tenant", or set tenant_header to null',
      code: 'required',
    },
  ];
}

/** zod measures the length of a string where it wants an array; of a wrong type its being wrong is all there is to say. */
function withoutEchoes(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  const mistyped = new Set(
    issues.filter(({ code }) => code === 'invalid_type').map(({ path }) => z.core.toDotPath(path)),
  );
  return issues.filter(({ code, path }) => code === 'invalid_type' || !mistyped.has(z.core.toDotPath(path)));
}

function toErrors(issue: z.core.$ZodIssue): KeyProfileError[] {
  const path = z.core.toDotPath(issue.path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, maxErrors).map((name) => ({
      path: z.core.toDotPath([...issue.path, name.slice(0, maxEchoedName)]),
      message: `a key profile has no such member; ${remedyOf(name, namesIn(issue))}`,
      code: 'unknown_member',
    }));
  }
  if (issue.code === 'invalid_type' && issue.expected === 'object') {
    return [
      {
        path,
        message: `${path === '' ? 'a key profile' : path} is a JSON object; send { … }`,
        code: issue.code,
      },
    ];
  }
  const code = issue.code === 'custom' ? String(issue.params?.code ?? 'invalid') : issue.code;
  return [{ path, message: issue.message, code }];
}
