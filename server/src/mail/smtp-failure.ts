/** Why a mail was not handed over, in a word that may stand in events, metrics and the log. */
export type MailFailure =
  | 'unreachable'
  | 'no_starttls'
  | 'certificate'
  | 'tls'
  | 'authentication'
  | 'sender_refused'
  | 'recipient_refused'
  | 'message_refused'
  | 'deferred'
  | 'interrupted'
  | 'no_mail_server'
  | 'unreadable';

/** What of a failed attempt is known. Nothing of what the server has written: that names addresses. */
export interface SmtpFailure {
  readonly reason: MailFailure;
  /** As RFC 5321 §4.2 has them; null where the server has said nothing. */
  readonly replyCode: number | null;
  /** The same mail would fail again, whenever it is sent. */
  readonly isFinal: boolean;
}

/** For the log: what it is and what an operator can do about it. */
export const failureTexts: Record<MailFailure, string> = {
  unreachable: 'The mail server of SMTP_URL can’t be reached',
  no_starttls:
    'The mail server of SMTP_URL offers no STARTTLS, so nothing was sent. Use smtps://, or add ?tls=none for a server in a network that nobody else reads',
  certificate:
    'The certificate of the mail server of SMTP_URL is not trusted, so nothing was sent. SMTP_CA_FILE names an authority of your own',
  tls: 'No TLS connection to the mail server of SMTP_URL came to be',
  authentication: 'The mail server does not take the user and password of SMTP_URL',
  sender_refused: 'The mail server does not take MAIL_FROM as a sender',
  recipient_refused: 'The mail server has refused a recipient',
  message_refused: 'The mail server has refused a mail',
  deferred: 'The mail server wants to be asked again later',
  interrupted: 'A mail could not be handed over in time',
  no_mail_server: 'There is no SMTP_URL to send a waiting mail by',
  unreadable:
    'A waiting mail can’t be decrypted: its generation of the secret `mail` is gone, or its row was changed',
};

/** The members that nodemailer's errors have. */
interface SmtpError {
  code?: unknown;
  command?: unknown;
  responseCode?: unknown;
  originalCode?: unknown;
  message?: unknown;
}

/**
 * What an error of nodemailer means. Final is only what the server has said of this recipient or this message (RFC 5321
 * §4.2.1: 5yz). What it says of us, our password or our sender holds for every mail, and somebody may put it right
 * before this one has expired.
 */
export function smtpFailureOf(error: unknown): SmtpFailure {
  const { code, command, responseCode, originalCode, message } = (error ?? {}) as SmtpError;
  const replyCode = typeof responseCode === 'number' ? responseCode : null;
  const later = (reason: MailFailure): SmtpFailure => ({ reason, replyCode, isFinal: false });
  // Where the server has spoken, the message is its text.
  const about = [originalCode, replyCode === null ? message : null]
    .filter((part) => typeof part === 'string')
    .join(' ');
  if (code === 'EAUTH' || code === 'ENOAUTH' || isAboutAuthentication(replyCode))
    return later('authentication');
  if (command === 'STARTTLS' && replyCode !== null) return later('no_starttls');
  if (/certificate|altname|CERT_|SELF_SIGNED/i.test(about)) return later('certificate');
  if (code === 'ETLS' || /\bSSL|_SSL_|ERR_TLS/.test(about)) return later('tls');
  if (code === 'EABORT') return later('interrupted');
  if (replyCode === null) return later('unreachable');
  const isPermanent = replyCode >= 500 && replyCode !== 503;
  if (!isPermanent) return later('deferred');
  if (command === 'RCPT TO') return { reason: 'recipient_refused', replyCode, isFinal: true };
  if (command === 'DATA') return { reason: 'message_refused', replyCode, isFinal: true };
  return later(command === 'MAIL FROM' ? 'sender_refused' : 'deferred');
}

/** RFC 4954 §6: authentication required, too weak, or encryption required for it. */
function isAboutAuthentication(replyCode: number | null): boolean {
  return replyCode === 530 || replyCode === 534 || replyCode === 535 || replyCode === 538;
}
