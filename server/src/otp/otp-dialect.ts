import { type CredentialPlaces, findCredentials } from '../authentication/credentials.ts';
import type { EdgeAnswer } from '../edge/answer.ts';
import { corsHeaders } from '../edge/cors.ts';
import type { EdgeEndpoint } from '../edge/edge.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import type { AppError } from '../errors.ts';
import type { KeyProfile } from '../key-profiles/key-profile.ts';
import { allPresetKeyHeaders } from '../key-profiles/presets.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import { answerRefusal } from './otp-refusal.ts';

/** Where a key is looked for on a path that names no issuer. */
export const presetPlaces: CredentialPlaces = { keyHeaders: allPresetKeyHeaders, takesBasic: true };

type Keys = Pick<KeyDirectory, 'find'>;

/**
 * In whose dialect to speak to a request that comes to no issuer: that of its key, if it has one that is known. Nothing is
 * decided about the key, and nothing charged.
 */
export async function profileOfKey(request: EdgeRequest, keys: Keys): Promise<KeyProfile | null> {
  const credentials = findCredentials(request.headers, presetPlaces);
  if (credentials.outcome !== 'one') return null;
  const { secret, keyId } = credentials.key;
  const key = await keys.find(secret);
  return key === null || (keyId !== null && keyId !== key.id) ? null : (key.issuer?.profile ?? null);
}

interface Dependencies {
  keys: Keys;
  docsBaseUrl: string;
}

/** What is refused for its method or path before sign-in meets it, in the dialect that sign-in would answer in. */
export class OtpPathRefusal implements EdgeEndpoint {
  readonly #deps: Dependencies;
  readonly #error: () => AppError;

  constructor(deps: Dependencies, error: () => AppError) {
    this.#deps = deps;
    this.#error = error;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { keys, docsBaseUrl } = this.#deps;
    const profile = await profileOfKey(request, keys);
    headers.push(...corsHeaders(request.headers.origin, true, profile?.environment_header));
    return answerRefusal(this.#error(), { profile, requestId: info.id, docsBaseUrl, headers });
  }
}
