import type { MailSender, ReadyMail, SendOutcome } from './mail-delivery.ts';

/** A mail as the mailboxes show it. */
export interface ShownMail {
  id: string;
  to: string;
  subject: string;
  text: string;
  html: string;
  created_at: string;
}

const mostMails = 200;

/** Where mails go in development without a mail server: into the memory of the node, the newest 200 of them. */
export class DevMailbox implements MailSender {
  /** Oldest first. */
  readonly #mails: ShownMail[] = [];

  async send({ id, createdAt, mail }: ReadyMail): Promise<SendOutcome> {
    const { to, subject, text, html } = mail;
    this.#mails.push({ id, to, subject, text, html, created_at: createdAt.toISOString() });
    if (this.#mails.length > mostMails) this.#mails.shift();
    return { outcome: 'sent' };
  }

  /** Newest first; with an address those to it, whatever the case of its letters. */
  list(to?: string): ShownMail[] {
    const wanted = to?.trim().toLowerCase();
    return this.#mails
      .filter((mail) => wanted === undefined || mail.to.toLowerCase() === wanted)
      .sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  find(id: string): ShownMail | undefined {
    return this.#mails.find((mail) => mail.id === id);
  }
}
