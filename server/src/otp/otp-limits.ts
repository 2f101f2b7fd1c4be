/**
 * What may be sent and guessed (api.md §9). All of them slide: in no hour, and in no 24 hours, there are more than so
 * many. They are the same for addresses that somebody signs in with and for those that nobody does.
 */
export const otpLimits = {
  /** Of a code; then it is dead. */
  guessesOfCode: 5,
  /** Of an issuer and address over all codes. */
  guessesAnHour: 10,
  guessesADay: 20,
  /** As many of those are left for a device that has signed in before, whatever strangers do. */
  keptAnHour: 3,
  keptADay: 6,
  /** Between two codes to an issuer's address. */
  resendSeconds: 60,
  /** Of an issuer and address; anybody may have five of them sent. */
  sendsAnHour: 7,
  /** As many of those are left for a device that has signed in before: strangers can't use up its codes either. */
  sendsKeptAnHour: 2,
  /** Mails of a key, all the keys of its line of rotations together. */
  keyMailsAnHour: 600,
  /** As many of those are left for devices that have signed in before: whoever has a public key locks no application out. */
  keyMailsKeptAnHour: 120,
  /** Mails of an IP address (IPv6: of its /64) within an account. */
  ipMailsAnHour: 60,
  /** Once strangers have had so many mails of a publishable key, or of an issuer's login pages, each … */
  crowdedFromMailsAnHour: 240,
  /** … IP address gets no more than this, so that a handful of them can't use up what is left. */
  crowdedIpMailsAnHour: 6,
  /** Guesses of an IP address (IPv6: of its /64) within an account, whatever they are at. */
  ipGuessesAnHour: 300,
  /** As many of those are left for devices that have signed in before. */
  ipGuessesKeptAnHour: 60,
  /** Mails to an address over all issuers but those where it has signed in. */
  addressMailsAnHour: 10,
  /** Wrong guesses at an issuer within an hour, from which on its new codes have 8 digits. */
  failuresBeforeLongCodes: 100,
  /** How long a device is remembered that does not sign in. */
  deviceDays: 90,
} as const;

/** Digits of a code while somebody sprays guesses over an issuer's addresses. */
export const longCodeDigits = 8;
