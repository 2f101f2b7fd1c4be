import { describe, expect, test } from 'vitest';
import { claimsInScope, userClaims } from './user-claims.ts';

const updatedAt = new Date('2026-11-21T12:00:00.900Z');

const user = (profile: Record<string, string | number>, rest = {}) => ({
  username_type: 'email' as const,
  username: 'ada@example.com',
  profile,
  username_changed_at: null,
  updated_at: updatedAt,
  ...rest,
});

describe('scope profile', () => {
  const profileOf = (profile: Record<string, string | number>) =>
    claimsInScope(userClaims(user(profile), { amr: ['otp'], authTime: 1 }), new Set(['profile']));

  test('tells every member that the API names as the claim that it is', () => {
    expect(
      profileOf({
        first_name: 'Ada',
        last_name: 'Lovelace',
        display_name: 'Ada L.',
        locale: 'en-GB',
        time_zone: 'Europe/London',
        picture_url: 'https://people.example/ada.png',
      }),
    ).toEqual({
      given_name: 'Ada',
      family_name: 'Lovelace',
      name: 'Ada L.',
      locale: 'en-GB',
      zoneinfo: 'Europe/London',
      picture: 'https://people.example/ada.png',
      updated_at: 1_795_262_400,
    });
  });

  test('makes the name of its parts where there is none', () => {
    expect(profileOf({ first_name: 'Ada', last_name: 'Lovelace' }).name).toBe('Ada Lovelace');
    expect(profileOf({ last_name: 'Lovelace' }).name).toBe('Lovelace');
    expect(profileOf({})).toEqual({ updated_at: 1_795_262_400 });
  });

  test('takes claims by their own names, but those of the API count', () => {
    expect(profileOf({ nickname: 'ada', picture: 'https://a.example/' })).toMatchObject({
      nickname: 'ada',
      picture: 'https://a.example/',
    });
    const both = { picture: 'https://a.example/', picture_url: 'https://b.example/' };
    expect(profileOf(both).picture).toBe('https://b.example/');
  });

  test('tells nothing that is no text, nor what is no claim', () => {
    expect(profileOf({ nickname: 7, shoe_size: '38', email: 'other@example.com' })).toEqual({
      updated_at: 1_795_262_400,
    });
  });
});

test('scope phone tells the number of the profile, or what the user signs in with, as not verified', () => {
  const phone = (facts: ReturnType<typeof user>) =>
    claimsInScope(userClaims(facts, { amr: [], authTime: 1 }), new Set(['phone']));
  expect(phone(user({ phone_number: '+41441234567' }))).toEqual({
    phone_number: '+41441234567',
    phone_number_verified: false,
  });
  const byPhone = { username_type: 'phone' as const, username: '+41440000000' };
  expect(phone(user({ phone_number: '+41441234567' }, byPhone))).toMatchObject({
    phone_number: '+41440000000',
  });
  expect(phone(user({}))).toEqual({});
});

// Attack: whoever may write a profile makes it say that the user has an address which it has not.
test('no profile says which address a user has, nor that it was verified', () => {
  const claims = userClaims(
    user({ email: 'root@example.com', email_verified: 'true', phone_number_verified: 'true' }),
    { amr: [], authTime: 1 },
  );
  expect(claims).toMatchObject({ email: 'ada@example.com', email_verified: false });
  expect(claims).not.toHaveProperty('phone_number_verified');
});
