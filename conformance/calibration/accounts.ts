/** The account of an address; everybody who can read a mail has one. */
export function accountIdOf(address: string): string {
  return `user-${Buffer.from(address).toString('base64url')}`;
}

/** Claims by the scope that asks for them, as the bare provider knows them of everybody. */
export const claimsByScope = {
  openid: ['sub'],
  profile: [
    'name',
    'family_name',
    'given_name',
    'middle_name',
    'nickname',
    'preferred_username',
    'profile',
    'picture',
    'website',
    'gender',
    'birthdate',
    'zoneinfo',
    'locale',
    'updated_at',
  ],
  email: ['email', 'email_verified'],
  address: ['address'],
  phone: ['phone_number', 'phone_number_verified'],
};

export function claimsOf(accountId: string): Record<string, unknown> {
  const email = Buffer.from(accountId.slice('user-'.length), 'base64url').toString();
  return {
    sub: accountId,
    name: 'Ada Example',
    family_name: 'Example',
    given_name: 'Ada',
    middle_name: 'Maria',
    nickname: 'ada',
    preferred_username: 'ada',
    profile: 'https://people.example/ada',
    picture: 'https://people.example/ada.png',
    website: 'https://ada.example/',
    gender: 'female',
    birthdate: '1990-12-10',
    zoneinfo: 'Europe/Vienna',
    locale: 'en-GB',
    updated_at: 1_790_000_000,
    email,
    email_verified: true,
    address: { formatted: 'Main Street 1, 1010 Vienna', country: 'AT' },
    phone_number: '+43 1 234567',
    phone_number_verified: false,
  };
}
