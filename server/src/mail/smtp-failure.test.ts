import { expect, test } from 'vitest';
import { smtpFailureOf } from './smtp-failure.ts';

const failed = (members: Record<string, unknown>) => smtpFailureOf(Object.assign(new Error('said'), members));

test.each([
  [{ code: 'EENVELOPE', command: 'RCPT TO', responseCode: 550 }, 'recipient_refused', true],
  [{ code: 'EENVELOPE', command: 'RCPT TO', responseCode: 450 }, 'deferred', false],
  [{ code: 'EENVELOPE', command: 'RCPT TO', responseCode: 503 }, 'deferred', false],
  [{ code: 'EENVELOPE', command: 'RCPT TO', responseCode: 530 }, 'authentication', false],
  [{ code: 'EENVELOPE', command: 'MAIL FROM', responseCode: 553 }, 'sender_refused', false],
  [{ code: 'EENVELOPE', command: 'MAIL FROM', responseCode: 530 }, 'authentication', false],
  [{ code: 'EMESSAGE', command: 'DATA', responseCode: 554 }, 'message_refused', true],
  [{ code: 'EMESSAGE', command: 'DATA', responseCode: 452 }, 'deferred', false],
  [{ code: 'EAUTH', command: 'AUTH PLAIN', responseCode: 535 }, 'authentication', false],
  [{ code: 'EAUTH', command: 'AUTH PLAIN', responseCode: 454 }, 'authentication', false],
  [{ code: 'ETLS', command: 'STARTTLS', responseCode: 454 }, 'no_starttls', false],
  [{ code: 'ESOCKET', command: 'CONN', originalCode: 'CERT_HAS_EXPIRED' }, 'certificate', false],
  [{ code: 'ESOCKET', command: 'CONN', originalCode: 'ERR_TLS_CERT_ALTNAME_INVALID' }, 'certificate', false],
  [{ code: 'ESOCKET', command: 'CONN', originalCode: 'ERR_SSL_WRONG_VERSION_NUMBER' }, 'tls', false],
  [{ code: 'ESOCKET', command: 'CONN', originalCode: 'ECONNREFUSED' }, 'unreachable', false],
  [{ code: 'EDNS', command: 'CONN' }, 'unreachable', false],
  [{ code: 'ETIMEDOUT', command: 'CONN' }, 'unreachable', false],
  [{ code: 'ECONNECTION', command: 'CONN', responseCode: 421 }, 'deferred', false],
  // A greeting that turns everybody away says nothing of this mail.
  [{ code: 'EPROTOCOL', command: 'CONN', responseCode: 554 }, 'deferred', false],
  [{ code: 'EABORT' }, 'interrupted', false],
])('%j is %s', (members, reason, isFinal) => {
  const replyCode = 'responseCode' in members ? members.responseCode : null;
  expect(failed(members)).toEqual({ reason, replyCode, isFinal });
});

test('what is no error of SMTP means that the mail waits', () => {
  for (const thrown of [undefined, null, 'text', new Error('anything'), { code: 5 }])
    expect(smtpFailureOf(thrown)).toEqual({ reason: 'unreachable', replyCode: null, isFinal: false });
});

// Attack: an account reads in an event what addresses others have, because a server repeats them in its answer.
test('nothing of the server’s words is in it', () => {
  const failure = failed({ command: 'RCPT TO', responseCode: 550, response: '550 <alice@example.com>' });
  expect(Object.keys(failure).sort()).toEqual(['isFinal', 'reason', 'replyCode']);
});
