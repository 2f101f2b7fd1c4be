import { createTransport } from 'nodemailer';
import type { Settings } from '../settings.ts';
import { StartError } from '../supervisor/start-error.ts';
import type { MailSender, SendOutcome } from './mail-delivery.ts';
import type { SenderAddress } from './sender-address.ts';
import { readAuthorities } from './smtp-authorities.ts';
import { smtpFailureOf } from './smtp-failure.ts';
import type { SmtpServer } from './smtp-url.ts';

interface SmtpOptions {
  server: SmtpServer;
  from: SenderAddress;
  /** Authorities that the server's certificate is checked against; those of the system unless given. */
  ca: Buffer | undefined;
  /** How we call ourselves (EHLO). */
  ownName: string;
}

const connectMs = 10_000;
const silenceMs = 30_000;

/**
 * Hands mails to a mail server, each over a connection of its own: what became of one mail never depends on another, and
 * nothing in between decides to send one again.
 */
export function createSmtpSender({ server, from, ca, ownName }: SmtpOptions): MailSender {
  const { host, port, tls, credentials } = server;
  const transport = createTransport({
    host,
    port,
    name: ownName,
    secure: tls === 'implicit',
    requireTLS: tls === 'required',
    ignoreTLS: tls === 'none',
    tls: { minVersion: 'TLSv1.2', ...(ca && { ca }) },
    ...(credentials && {
      auth: { user: credentials.user, pass: credentials.password },
      // Else a server that has stopped offering AUTH would be sent the mail without.
      forceAuth: true,
    }),
    connectionTimeout: connectMs,
    greetingTimeout: connectMs,
    socketTimeout: silenceMs,
    dnsTimeout: connectMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const domain = from.address.slice(from.address.lastIndexOf('@') + 1);
  return {
    async send({ id, createdAt, mail }, signal): Promise<SendOutcome> {
      try {
        await transport.sendMail({
          from: { name: mail.senderName ?? from.name ?? '', address: from.address },
          to: { name: '', address: mail.to },
          // Not read out of the headers again: one recipient, whatever the headers may look like.
          envelope: { from: from.address, to: [mail.to] },
          subject: mail.subject,
          text: mail.text,
          html: mail.html,
          // The same each time the mail is sent, so that a server that gets it twice can tell.
          messageId: `<${id}@${domain}>`,
          date: createdAt,
          // RFC 3834 §5: nobody answers that they are on holiday.
          headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
          xMailer: false,
          disableFileAccess: true,
          disableUrlAccess: true,
          signal,
        });
        return { outcome: 'sent' };
      } catch (error) {
        return { outcome: 'failed', failure: smtpFailureOf(error) };
      }
    },
  };
}

/**
 * The sender that the settings describe; null where they name no mail server.
 *
 * @throws StartError where SMTP_CA_FILE is no longer the file that the settings were checked with
 */
export function openSmtpSender(
  settings: Pick<Settings, 'smtpUrl' | 'mailFrom' | 'smtpCaFile' | 'publicUrl'>,
): MailSender | null {
  const { smtpUrl, mailFrom, smtpCaFile, publicUrl } = settings;
  if (smtpUrl === undefined || mailFrom === undefined) return null;
  return createSmtpSender({
    server: smtpUrl,
    from: mailFrom,
    ca: smtpCaFile === undefined ? undefined : requireAuthorities(smtpCaFile),
    ownName: new URL(publicUrl).hostname,
  });
}

function requireAuthorities(path: string): Buffer {
  const read = readAuthorities(path);
  if (read.ok) return read.pem;
  throw new StartError(`SMTP_CA_FILE ${read.problem}.`, {
    hint: 'Set SMTP_CA_FILE to a PEM file of certificates that the user running Gatelodge may read.',
  });
}
