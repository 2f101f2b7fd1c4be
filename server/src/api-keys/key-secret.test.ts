import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { environments, keyKinds, presetNames, renderPrefix } from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';
import { digestKeySecret, hasValidCheck, looksLikeKeySecret, mintKeySecret } from './key-secret.ts';

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** An installation that has some generations of both secrets, of which it mints with the given ones. */
function installation(digestGeneration = 1, checkGeneration = 1) {
  const digestKeys = new Map([1, 2, 62].map((generation) => [generation, randomBytes(32).toString('hex')]));
  const checkKeys = new Map([1, 2, 62].map((generation) => [generation, randomBytes(32)]));
  const digestKeyFor = (generation: number) => digestKeys.get(generation);
  const checkKeyFor = (generation: number) => checkKeys.get(generation);
  return {
    mint: (prefix = 'sk_live_', randomSource?: (size: number) => Uint8Array) =>
      mintKeySecret(
        {
          prefix,
          digest: { generation: digestGeneration, key: digestKeys.get(digestGeneration)! },
          check: { generation: checkGeneration, key: checkKeys.get(checkGeneration)! },
        },
        randomSource,
      ),
    digest: (secret: string) => digestKeySecret(secret, digestKeyFor),
    accepts: (secret: string) => hasValidCheck(secret, checkKeyFor),
    digestKeyFor,
    checkKeyFor,
  };
}

const prefixes = presetNames.flatMap((name) =>
  keyKinds.flatMap((kind) =>
    environments.map((environment) => renderPrefix(presets[name], kind, environment)),
  ),
);

describe('a minted secret', () => {
  test.each(prefixes)(
    'of the prefix %s is the prefix and 44 characters of [0-9A-Za-z], and is accepted',
    (prefix) => {
      const home = installation();
      const { secret, hint, digest } = home.mint(prefix);
      expect(secret.startsWith(prefix)).toBe(true);
      expect(secret.slice(prefix.length)).toMatch(/^[0-9A-Za-z]{44}$/);
      expect(hint).toBe(`${prefix}…${secret.slice(-4)}`);
      expect(home.digest(secret)).toBe(digest);
      expect(home.accepts(secret)).toBe(true);
      expect(looksLikeKeySecret(secret)).toBe(true);
    },
  );

  test('is stored as SHA-256 over the digest secret and itself', () => {
    const home = installation(2);
    const { secret, digest } = home.mint();
    expect(digest).toBe(createHash('sha256').update(home.digestKeyFor(2)!).update(secret).digest('hex'));
  });

  test('says its generations, and keys of several generations live side by side', () => {
    const home = installation(62, 2);
    const { secret, digest } = home.mint();
    expect(secret.at(-12)).toBe('z');
    expect(secret.at(-11)).toBe('1');
    expect(home.digest(secret)).toBe(digest);
    expect(home.accepts(secret)).toBe(true);
  });

  test('is unknown once its generation has retired', () => {
    const home = installation(2, 2);
    const { secret } = home.mint();
    const upTo1 =
      <Key>(keyFor: (generation: number) => Key) =>
      (generation: number) =>
        generation <= 1 ? keyFor(generation) : undefined;
    expect(digestKeySecret(secret, upTo1(home.digestKeyFor))).toBeNull();
    expect(hasValidCheck(secret, upTo1(home.checkKeyFor))).toBe(false);
  });

  test('each generation from 1 to 62 has a character of its own', () => {
    const key = randomBytes(32);
    const seen: number[] = [];
    for (let generation = 1; generation <= 62; generation++) {
      const { secret } = mintKeySecret({
        prefix: 'gl_',
        digest: { generation, key: key.toString('hex') },
        check: { generation, key },
      });
      expect(secret.at(-12)).toBe(alphabet[generation - 1]);
      digestKeySecret(secret, (asked) => void seen.push(asked) as undefined);
      hasValidCheck(secret, (asked) => void seen.push(asked) as undefined);
    }
    expect(seen).toEqual(Array.from({ length: 62 }, (_, index) => [index + 1, index + 1]).flat());
  });

  test.each([0, 63, -1, 1.5, Number.NaN])('is not made with generation %s', (generation) => {
    const key = randomBytes(32);
    const one = { generation: 1, key };
    const oneHex = { generation: 1, key: key.toString('hex') };
    expect(() => mintKeySecret({ prefix: 'gl_', digest: { ...oneHex, generation }, check: one })).toThrow(
      RangeError,
    );
    expect(() => mintKeySecret({ prefix: 'gl_', digest: oneHex, check: { ...one, generation } })).toThrow(
      RangeError,
    );
  });

  test.each(['', 'a', 'SK_', 'sk-live-', 'é_', 'a'.repeat(41), 'sk live'])(
    'is not made with the prefix %j',
    (prefix) => {
      expect(() => installation().mint(prefix)).toThrow(RangeError);
    },
  );

  test('is not made with a key of another size', () => {
    const digest = { generation: 1, key: randomBytes(32).toString('hex') };
    const check = { generation: 1, key: randomBytes(32) };
    expect(() => mintKeySecret({ prefix: 'gl_', digest: { ...digest, key: 'ab' }, check })).toThrow(
      RangeError,
    );
    expect(() => mintKeySecret({ prefix: 'gl_', digest, check: { ...check, key: randomBytes(16) } })).toThrow(
      RangeError,
    );
  });
});

describe('randomness', () => {
  test('10,000 secrets are all different, and so are their digests', () => {
    const home = installation();
    const minted = Array.from({ length: 10_000 }, () => home.mint());
    expect(new Set(minted.map(({ secret }) => secret)).size).toBe(10_000);
    expect(new Set(minted.map(({ digest }) => digest)).size).toBe(10_000);
  });

  test('every byte below 248 is used, four to a character, and the others are thrown away', () => {
    let next = 0;
    const everyByte = (size: number) => Uint8Array.from({ length: size }, () => next++ % 256);
    const home = installation();
    const text = Array.from({ length: 31 }, () => home.mint('gl_', everyByte).secret.slice(3, 35)).join('');
    // 31 secrets take 992 characters: four times the 248 bytes that can be used.
    const counts = new Map<string, number>();
    for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
    expect(counts).toEqual(new Map(Array.from(alphabet).map((character) => [character, 16])));
  });

  test('no character is favoured (χ² over 320,000 characters)', () => {
    const home = installation();
    const counts = new Map<string, number>();
    for (let index = 0; index < 10_000; index++) {
      for (const character of home.mint('gl_').secret.slice(3, 35)) {
        counts.set(character, (counts.get(character) ?? 0) + 1);
      }
    }
    const expected = 320_000 / 62;
    const chiSquared = Array.from(alphabet).reduce(
      (sum, character) => sum + ((counts.get(character) ?? 0) - expected) ** 2 / expected,
      0,
    );
    // 61 degrees of freedom: 140 is passed by chance once in 30 million runs; `% 62` over all bytes gives some 3,000.
    expect(chiSquared).toBeLessThan(140);
  });
});

// Attack: keys made up, guessed from a real one or brought from elsewhere. One accepted would at best cost a look-up in
// the database for each try, at worst be somebody's key.
describe('10,000 mutants of a key are all refused', () => {
  const home = installation();
  const other = installation();
  const lookAlikes: Record<string, string> = {
    a: 'а',
    e: 'е',
    o: 'о',
    c: 'с',
    p: 'р',
    x: 'х',
    A: 'Α',
    B: 'Β',
    K: 'К',
    '0': '０',
    '1': '１',
  };

  function expectRefused(original: { secret: string; digest: string }, mutant: string) {
    if (mutant === original.secret) return;
    expect(home.accepts(mutant), mutant).toBe(false);
    expect(home.digest(mutant), mutant).not.toBe(original.digest);
  }

  test('bits flipped', () => {
    for (let index = 0; index < 2500; index++) {
      const minted = home.mint();
      const bytes = Buffer.from(minted.secret);
      const at = index % bytes.length;
      bytes[at] = bytes[at]! ^ (1 << (index % 8));
      expectRefused(minted, bytes.toString(index % 2 === 0 ? 'utf8' : 'latin1'));
    }
  });

  test('characters changed for others of the alphabet, generations included', () => {
    for (let index = 0; index < 2500; index++) {
      const minted = home.mint();
      const at = 8 + (index % 44);
      const character = alphabet[index % 62]!;
      expectRefused(minted, minted.secret.slice(0, at) + character + minted.secret.slice(at + 1));
    }
  });

  test('cut, lengthened, shifted or glued', () => {
    for (let index = 0; index < 1000; index++) {
      const minted = home.mint();
      const { secret } = minted;
      const cut = 1 + (index % (secret.length - 1));
      for (const mutant of [
        secret.slice(0, -cut),
        secret.slice(cut),
        secret + alphabet[index % 62],
        alphabet[index % 62] + secret,
        ` ${secret}`,
        `${secret}\n`,
        `${secret}\u0000`,
        secret + secret,
        secret.slice(0, cut) + secret.slice(cut + 1),
        secret.slice(cut) + secret.slice(0, cut),
      ]) {
        expectRefused(minted, mutant);
      }
    }
  });

  test('in another case', () => {
    for (let index = 0; index < 500; index++) {
      const minted = home.mint();
      expectRefused(minted, minted.secret.toUpperCase());
      expectRefused(minted, minted.secret.toLowerCase());
      const at = index % minted.secret.length;
      const character = minted.secret[at]!;
      const swapped =
        character === character.toUpperCase() ? character.toLowerCase() : character.toUpperCase();
      expectRefused(minted, minted.secret.slice(0, at) + swapped + minted.secret.slice(at + 1));
    }
  });

  test('with Unicode look-alikes, combining marks, zero-width characters and lone surrogates', () => {
    for (let index = 0; index < 500; index++) {
      const minted = home.mint('exact_');
      const { secret } = minted;
      const at = index % secret.length;
      const put = (text: string) => secret.slice(0, at) + text + secret.slice(at + 1);
      const lookAlike = Array.from(secret).findLastIndex((character) => character in lookAlikes);
      expectRefused(
        minted,
        secret.slice(0, lookAlike) + lookAlikes[secret[lookAlike]!] + secret.slice(lookAlike + 1),
      );
      expectRefused(minted, put(String.fromCharCode(secret.charCodeAt(at) + 0xfee0)));
      // Cut to a byte, these are the original's characters again.
      expectRefused(minted, put(String.fromCharCode(secret.charCodeAt(at) + 0x100)));
      expectRefused(minted, put(`${secret[at]}\u0301`));
      expectRefused(minted, put(`\u200b${secret[at]}`));
      expectRefused(minted, put('\ud800'));
      expectRefused(minted, secret.normalize('NFKD').replaceAll('_', '＿'));
    }
  });

  test('of another installation, of another prefix, or with the check of another key', () => {
    for (let index = 0; index < 1000; index++) {
      const minted = home.mint('sk_dev_');
      const foreign = other.mint('sk_dev_');
      expectRefused(minted, foreign.secret);
      expectRefused(minted, minted.secret.slice(0, -10) + foreign.secret.slice(-10));
      expectRefused(minted, minted.secret.slice(0, -10) + home.mint('sk_dev_').secret.slice(-10));
      expectRefused(minted, minted.secret.slice(0, -10) + other.mint().secret.slice(-10));
      expectRefused(minted, minted.secret.replace('sk_dev_', 'sk_live_'));
      expectRefused(minted, minted.secret.replace('sk_dev_', 'pk_dev_'));
    }
  });

  test('made up by someone who knows the format', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^sk_live_[0-9A-Za-z]{32}[01][01][0-9A-Za-z]{10}$/), (secret) => {
        expect(looksLikeKeySecret(secret)).toBe(true);
        expect(home.accepts(secret)).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('hostile input', () => {
  test('is judged by its length before anything else', () => {
    const never = () => {
      throw new Error('asked for a key');
    };
    for (const secret of ['', 'x', 'a'.repeat(45), 'a'.repeat(85), 'a'.repeat(1_000_000)]) {
      expect(digestKeySecret(secret, never)).toBeNull();
      expect(hasValidCheck(secret, never)).toBe(false);
      expect(looksLikeKeySecret(secret)).toBe(false);
    }
  });

  test('whatever the text is, nothing throws, and what is accepted looks like a key', () => {
    const home = installation();
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.stringMatching(/^[a-z0-9_]{0,45}[0-9A-Za-z]{40,46}$/),
    );
    fc.assert(
      fc.property(text, (secret) => {
        const digest = home.digest(secret);
        expect(digest === null || /^[0-9a-f]{64}$/.test(digest)).toBe(true);
        expect(home.accepts(secret)).toBe(false);
        if (looksLikeKeySecret(secret)) expect(secret).toMatch(/^[a-z0-9_]{2,40}[0-9A-Za-z]{44}$/);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c3JfMSJ9.c2lnbmF0dXJl',
    'key_0123456789abcdefghijklmno',
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    'hunter2',
  ])('%s does not look like a key', (text) => {
    expect(looksLikeKeySecret(text)).toBe(false);
  });
});
