import { z } from 'zod';
import { AppError } from '../errors.ts';
import { timestampField } from '../http/fields.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { maxUsernameLength } from '../users/username.ts';
import type { ShownMail } from './dev-mailbox.ts';
import { MailUnreadableError, openMail, recipientDigests } from './mail-seal.ts';
import { listMails, type MailRow } from './mail-store.ts';
import { keptHours, keptSince } from './mail-sweep.ts';

const sandboxMail = z
  .object({
    id: z.string(),
    to: z.string(),
    subject: z.string(),
    text: z.string().describe('The code is the first run of 6 to 8 digits in it.'),
    html: z.string(),
    created_at: timestampField,
  })
  .meta({ id: 'SandboxMail' });

export const listSandboxMails = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/sandbox-mailbox',
  operationId: 'issuers.listSandboxMails',
  summary: 'List the mails of a sandbox issuer, newest first',
  description: `Mails of a sandbox issuer are not sent. They can be read here, by programs too, for ${keptHours} hours.`,
  permission: 'gatelodge.mails:read',
  params: issuerParams,
  query: z.strictObject({
    ...pageQuery,
    to: z
      .string()
      .max(maxUsernameLength)
      .optional()
      .describe('Only mails to this address, in whichever spelling.'),
  }),
  responses: { 200: { description: 'A page of mails.', schema: pageOf(sandboxMail) } },
  errors: ['conflict'],
  async handler({ services, tx, principal, params, query, cursors, now }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    if (issuer.environment !== 'sandbox') {
      throw new AppError('conflict', {
        detail: 'Mails of a live issuer are sent; only a sandbox issuer has a mailbox.',
      });
    }
    const place = { accountId: principal.accountId, issuerId: issuer.id };
    const to = query.to?.trim() || null;
    const recipients = to === null ? null : recipientDigests(services.secrets, issuer.id, to);
    const rows = await listMails(tx, place, { keptSince: keptSince(now), recipients }, query, cursors);
    const shown = (row: MailRow) => toShownMail(services.secrets, row);
    return { body: toPage(rows, query.limit, cursors, ({ id }) => [id], shown) };
  },
});

function toShownMail(secrets: InstallationSecrets, row: MailRow): ShownMail {
  const { id, created_at, sealed, secret_generation: generation } = row;
  const place = { id, accountId: row.account_id, issuerId: row.issuer_id };
  const { to, subject, text, html } = read(() => openMail(secrets, place, { sealed, generation }));
  return { id, to, subject, text, html, created_at: created_at.toISOString() };
}

/** One that can't be read any more hides none of the others. */
function read(open: () => { to: string; subject: string; text: string; html: string }) {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof MailUnreadableError)) throw error;
    return { to: '', subject: '(This mail can’t be decrypted any more)', text: '', html: '' };
  }
}
