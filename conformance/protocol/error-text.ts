import type { Trial } from '../suite/trial.ts';

/** Characters of `error` and `error_description` (RFC 6749 appendix A.7 and A.8). */
const errorCharacters = /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/;
const uriCharacters = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

/** Checks the spelling of an error's members, wherever they stand. */
export function checkErrorText(
  trial: Trial,
  member: (name: string) => string | undefined,
  section: string,
): void {
  for (const name of ['error', 'error_description']) {
    const value = member(name);
    trial.check(
      value === undefined || errorCharacters.test(value),
      `${name} has characters that it must not have (${section})`,
    );
  }
  const uri = member('error_uri');
  trial.check(
    uri === undefined || (uriCharacters.test(uri) && URL.canParse(uri)),
    `error_uri is no URI (${section})`,
  );
}
