import { html } from '../mail/html.ts';
import type { Texts } from './texts.ts';

const plural = (count: number, unit: string) => `${count} ${unit}${count === 1 ? '' : 's'}`;

export const english: Texts = {
  error: 'Error',
  sandbox: 'Sandbox',
  sandboxHint: 'This is a test environment. Codes go to the sandbox mailbox, not to your inbox.',
  requestId: 'Request ID',
  continue: 'Continue',
  search: 'Search',
  address: {
    title: 'Sign in',
    lead: (client) => `to continue to ${client}`,
    label: 'Email address',
    hint: 'We’ll email you a code. You don’t need a password.',
    invalid: 'Enter an email address, such as alice@example.com.',
    tooMany: (wait) => `Too many codes have been sent. Try again in ${wait}.`,
    tooSoon: (wait) =>
      `You can ask for a code again in ${wait}. Use the one that you have been sent, if you have.`,
    haveCode: 'I already have a code',
  },
  code: {
    title: 'Check your email',
    sent: 'If you can sign in with',
    sentAfter: ', a code is on its way to you. It may take a minute.',
    label: 'Code',
    submit: 'Sign in',
    malformed: 'Enter the code from the email: 6 to 8 digits.',
    wrong: (left) =>
      left > 0
        ? `That code isn’t right or has expired. ${plural(left, 'attempt')} left.`
        : 'That code isn’t right or has expired. Send a new code to go on.',
    tooMany: (wait) => `Too many attempts. Try again in ${wait}. A new code changes nothing.`,
    spent: 'There have been too many wrong codes, so the last one no longer works.',
    spentTitle: 'You need a new code',
    as: 'You’re signing in with',
    noneYet: 'No email? Look in your spam folder first.',
    inDevelopment: 'This is a development server. You’ll find its mails at',
    resend: 'Send a new code',
    resendIn: 'New code in {seconds} s',
    resendTooSoon: (wait) => `You can ask for another code in ${wait}.`,
    lastWorks: 'The last one still works.',
    resent: 'A new code is on its way. Only the newest one works.',
    change: 'Use another address',
  },
  organization: {
    title: 'Choose an organization',
    lead: (client) => `You belong to more than one. Which of them do you want to use ${client} for?`,
    left: (client) => `You belong to one organization now. Do you want to use ${client} for it?`,
    all: 'Continue with all of them',
    search: 'Find an organization',
    more: 'More organizations',
    first: 'Back to the first ones',
    showAll: 'Show all organizations',
    none: (query) => `No organization of yours has “${query}” in its name.`,
  },
  consent: {
    title: (client) => `Allow ${client} to use your account?`,
    as: 'Signed in as',
    lead: 'It will be able to:',
    scopes: {
      openid: 'Recognize you when you come back',
      profile: 'See your name and profile',
      email: 'See your email address',
      phone: 'See your phone number',
      offline_access: 'Keep its access while you are away',
    },
    claims: (names) => html`See these details of your profile: ${names}`,
    api: (scope) => html`Use the permission ${scope} for you`,
    apiAt: (scope, resource) => html`Use the permission ${scope} at ${resource} for you`,
    resource: (resource) => `Tell ${resource} who you are`,
    organizations: {
      all: 'See your organizations and use every permission that you have in them',
      none: 'See which organizations you belong to',
      only: (scopes) =>
        html`See your organizations and use these permissions in them, as far as you have them: ${scopes}`,
    },
    organization: {
      all: (name) => `See that you belong to ${name} and use every permission that you have there`,
      none: (name) => `See that you belong to ${name}`,
      only: (name, scopes) =>
        html`See that you belong to ${name} and use these permissions there, as far as you have them: ${scopes}`,
    },
    registered: (client, brand) =>
      `${client} has registered itself, and nobody at ${brand} has checked it. Allow it only if you know where it comes from.`,
    destination: (host) => `You’ll be taken to ${host}.`,
    device: 'You’ll stay here; your device goes on by itself.',
    allow: 'Allow',
    deny: 'Deny',
    otherAccount: 'Use another account',
  },
  logout: {
    title: 'Sign out?',
    lead: (brand) =>
      `This ends your session with ${brand} in this browser, for every application that uses it.`,
    confirm: 'Sign out',
    stay: 'Stay signed in',
    stayed: { title: 'You are still signed in', text: 'Nothing has been ended. You can close this page.' },
    done: { title: 'You are signed out', text: 'You can close this page.' },
    goOn: (host) => `Go on to ${host}`,
  },
  device: {
    title: 'Connect a device',
    lead: 'Enter the code that your device shows.',
    compare: 'Is this the code that your device shows? If not, do not go on.',
    label: 'Device code',
    unknown:
      'There is no such code, or it has expired or been used already. Look at your device and enter it again. If this is the code that it shows, have it show a new one.',
    failed: {
      title: 'That didn’t work',
      text: 'Nothing was connected. Start again with the code of your device.',
    },
    refused: { title: 'The device was not connected', text: 'You have said no. You can close this page.' },
    again: 'Enter a code',
    confirmTitle: 'Is this your device?',
    confirm: (client) => `${client} asks to be connected to your account. Your device has to show this code:`,
    warning: 'If somebody else sent you here, or your device shows another code, say no.',
    yes: 'Yes, connect it',
    no: 'No',
    done: { title: 'Your device is connected', text: 'Go back to your device. You can close this page.' },
  },
  notices: {
    over: {
      title: 'This sign-in is over',
      text: 'It has been completed already, or took too long. To sign in, go back to the application and start again.',
      otherwise:
        'If you end up here again, start and finish in the same browser, and allow it to keep cookies of this site.',
    },
    suspended: {
      title: 'Sign-in is not available',
      text: 'It has been turned off for this application. Ask whoever runs it.',
    },
    unknownIssuer: {
      title: 'Page not found',
      text: 'There is nothing at this address. Go back to the application and start again.',
    },
    outOfDate: {
      title: 'This page is out of date',
      text: 'It was open for too long, or in another window. Nothing has been done.',
    },
    foreign: {
      title: 'That came from another site',
      text: 'Another site tried to submit this page for you. Nothing has been done.',
    },
    malformed: { title: 'This request can’t be read', text: 'Go back and try again. Nothing has been done.' },
    unavailable: {
      title: 'Try again in a moment',
      text: 'We can’t sign you in right now. Nothing is lost: reload this page shortly.',
    },
    failed: {
      title: 'Something went wrong',
      text: 'That is our fault, not yours. Go back to the application and try again.',
    },
    badRequest: {
      title: 'This request can’t go on',
      text: 'Go back to the application that you came from and try again. If that doesn’t help, tell whoever runs it:',
    },
  },
  received: {
    redirect_uri: 'This came as redirect_uri, and is not among the client’s redirect URIs:',
    client_id: 'This came as client_id, and is not the ID of an active client of this issuer:',
    post_logout_redirect_uri:
      'This came as post_logout_redirect_uri, and is not among the client’s post-logout redirect URIs:',
  },
  again: 'Go on here',
  wait: (seconds) =>
    seconds < 60
      ? plural(seconds, 'second')
      : seconds < 3600
        ? plural(Math.ceil(seconds / 60), 'minute')
        : plural(Math.ceil(seconds / 3600), 'hour'),
};
