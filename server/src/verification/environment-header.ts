import {
  type Environment,
  environmentLabel,
  environmentOfSecret,
  type KeyProfile,
  presetNames,
} from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';

/** The header that tells which environment answered, as a name and a value. */
export function environmentHeader(profile: KeyProfile, environment: Environment): [string, string] {
  return [profile.environment_header, environmentLabel(profile, environment)];
}

/**
 * The environment that an unknown key's beginning names: by the profile of the issuer it was shown to, else by any
 * preset's. null when it begins like no key.
 */
export function environmentOfUnknownKey(secret: string, profile: KeyProfile | null): Environment | null {
  if (profile !== null) return environmentOfSecret(profile, secret);
  for (const name of presetNames) {
    const environment = environmentOfSecret(presets[name], secret);
    if (environment !== null) return environment;
  }
  return null;
}
