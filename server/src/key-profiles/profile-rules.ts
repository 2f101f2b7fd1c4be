import {
  type Environment,
  environments,
  type KeyProfile,
  type RenderedPrefix,
  renderedPrefixes,
  renderedPrefixPattern,
} from './key-profile.ts';
import { allPresetKeyHeaders } from './presets.ts';

/** One thing that is wrong with a profile: where (dotted path), what and how to mend it, and a stable code. */
export interface KeyProfileError {
  path: string;
  message: string;
  code: string;
}

interface ProfileRule {
  /** The members that the rule compares; it says nothing sensible where one of them is broken by itself. */
  reads: readonly (keyof KeyProfile)[];
  errorsOf: (profile: KeyProfile) => KeyProfileError[];
}

/** The rules between members of a profile; those that one member alone can break stand in key-profile-schema.ts. */
export const profileRules: readonly ProfileRule[] = [
  { reads: ['prefix_template', 'kinds', 'environments'], errorsOf: prefixErrors },
  { reads: ['environments'], errorsOf: labelErrors },
  { reads: ['environments'], errorsOf: swappedEnvironmentErrors },
  { reads: ['key_headers'], errorsOf: repeatedKeyHeaderErrors },
  {
    reads: ['key_headers', 'tenant_header'],
    errorsOf: (profile) => keyHeaderConflicts(profile, 'tenant_header.name', profile.tenant_header?.name),
  },
  {
    reads: ['key_headers', 'environment_header'],
    errorsOf: (profile) => keyHeaderConflicts(profile, 'environment_header', profile.environment_header),
  },
  { reads: ['tenant_header', 'environment_header'], errorsOf: environmentHeaderErrors },
];

function prefixErrors(profile: KeyProfile): KeyProfileError[] {
  const { kinds, environments: names, prefix_template: template } = profile;
  const errors: KeyProfileError[] = [];
  if (names.live.prefix === names.sandbox.prefix) {
    errors.push({
      path: 'environments.sandbox.prefix',
      message: 'live and sandbox keys would look the same; give sandbox another prefix than live',
      code: 'ambiguous_prefix',
    });
  }
  if (template.includes('{kind}') && kinds.secret === kinds.publishable) {
    errors.push({
      path: 'kinds.publishable',
      message: 'secret and publishable keys would look the same; give publishable another word than secret',
      code: 'ambiguous_prefix',
    });
  }
  const prefixes = renderedPrefixes(profile);
  const malformed = prefixes.find(({ prefix }) => !renderedPrefixPattern.test(prefix));
  if (malformed) {
    errors.push({
      path: 'prefix_template',
      message: `keys would begin with "${malformed.prefix}" (${malformed.prefix.length} characters); make that 2 to 40`,
      code: 'invalid_prefix',
    });
  }
  return errors.length > 0 ? errors : confusablePrefixErrors(prefixes);
}

/** No prefix may begin with another one, or the beginning of a key would not say what the key is. */
function confusablePrefixErrors(prefixes: readonly RenderedPrefix[]): KeyProfileError[] {
  for (const one of prefixes) {
    const other = prefixes.find((candidate) => candidate !== one && candidate.prefix.startsWith(one.prefix));
    if (!other) continue;
    return [
      {
        path: 'prefix_template',
        message: `"${one.prefix}" (${describe(one)}) is how "${other.prefix}" (${describe(other)}) begins; put _ between and after the placeholders, or choose other words`,
        code: 'ambiguous_prefix',
      },
    ];
  }
  return [];
}

function describe({ kind, environment }: RenderedPrefix): string {
  return kind === null ? environment : `${kind}, ${environment}`;
}

function labelErrors({ environments: { live, sandbox } }: KeyProfile): KeyProfileError[] {
  if (live.label.toLowerCase() !== sandbox.label.toLowerCase()) return [];
  return [
    {
      path: 'environments.sandbox.label',
      message:
        'the environment header would not tell sandbox from live; give sandbox another label than live',
      code: 'duplicate',
    },
  ];
}

/** What everybody takes for the other environment, be it in a key or in a header. */
const misleading: Readonly<Record<Environment, readonly string[]>> = {
  live: ['sandbox', 'dev', 'development', 'test', 'testing', 'staging'],
  sandbox: ['live', 'prod', 'production'],
};

/** A key that says `sandbox` and reaches real data is pasted where no live key would ever be. */
function swappedEnvironmentErrors({ environments: names }: KeyProfile): KeyProfileError[] {
  return environments.flatMap((environment) =>
    (['prefix', 'label'] as const).flatMap((member) => {
      const word = names[environment][member];
      const plain = word.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
      // Two equal words are told by the rules above.
      const isTold = names.live[member].toLowerCase() === names.sandbox[member].toLowerCase();
      if (isTold || !misleading[environment].includes(plain)) return [];
      return [
        {
          path: `environments.${environment}.${member}`,
          message: `"${word}" would pass ${environment} off for the other environment; choose a word that does not`,
          code: 'misleading',
        },
      ];
    }),
  );
}

function repeatedKeyHeaderErrors({ key_headers }: KeyProfile): KeyProfileError[] {
  const names = key_headers.map((name) => name.toLowerCase());
  return names.flatMap((name, index) =>
    names.indexOf(name) === index
      ? []
      : [
          {
            path: `key_headers[${index}]`,
            message: 'this key header is in the list already (case does not count); remove it',
            code: 'duplicate',
          },
        ],
  );
}

/** A preset's key header counts as one whatever the profile says, since `GET /v1/me` takes keys from all of them. */
function keyHeaderConflicts(
  { key_headers }: KeyProfile,
  path: string,
  name: string | undefined,
): KeyProfileError[] {
  const isKeyHeader = (candidate: string) =>
    allPresetKeyHeaders.includes(candidate) ||
    key_headers.some((header) => header.toLowerCase() === candidate);
  if (name === undefined || !isKeyHeader(name.toLowerCase())) return [];
  return [
    {
      path,
      message: `API keys are read from ${name}; choose another name for this header`,
      code: 'conflict',
    },
  ];
}

function environmentHeaderErrors({ tenant_header, environment_header }: KeyProfile): KeyProfileError[] {
  if (tenant_header?.name.toLowerCase() !== environment_header.toLowerCase()) return [];
  return [
    {
      path: 'environment_header',
      message: 'the tenant header has this name; choose another one for the environment header',
      code: 'conflict',
    },
  ];
}
