import type { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { Settings } from '../settings.ts';
import { DevMailbox } from './dev-mailbox.ts';
import { MailDelivery } from './mail-delivery.ts';
import { MailOutbox, noMailServer } from './mail-outbox.ts';
import { createMailSweep, type WaitingMails } from './mail-sweep.ts';
import { openSmtpSender } from './smtp-sender.ts';

/** What mails need on a node, from where they are left to where they are handed over. */
export interface Mailing {
  readonly outbox: MailOutbox;
  readonly delivery: MailDelivery;
  readonly sweep: Periodic;
  /** null where there is a mail server, and in production. */
  readonly devMailbox: DevMailbox | null;
  readonly waiting: Readonly<WaitingMails>;
}

interface Dependencies {
  settings: Settings;
  /** Whose statements no request is charged with. */
  database: Database;
  secrets: InstallationSecrets;
  log: Log;
  now: () => Date;
}

/**
 * Opens what the settings describe; nothing of it has started. In production without a mail server it says so, and the server
 * starts all the same: whoever has no users to sign in needs none.
 *
 * @throws StartError where SMTP_CA_FILE is no longer the file that the settings were checked with
 */
export function openMailing({ settings, database, secrets, log, now }: Dependencies): Mailing {
  const smtp = openSmtpSender(settings);
  const devMailbox = smtp === null && settings.mode === 'development' ? new DevMailbox() : null;
  const delivery = new MailDelivery({
    database,
    secrets,
    sender: smtp ?? devMailbox,
    showsSandbox: devMailbox !== null,
    log,
    now,
  });
  const outbox = new MailOutbox({
    secrets,
    log,
    now,
    canSend: smtp !== null || devMailbox !== null,
    showsSandbox: devMailbox !== null,
    onQueued: () => delivery.wake(),
  });
  if (smtp === null && devMailbox === null) log.warn({ component: 'mail' }, noMailServer);
  const waiting = { count: 0, oldestSeconds: 0 };
  return { outbox, delivery, sweep: createMailSweep({ database, log, now }, waiting), devMailbox, waiting };
}
