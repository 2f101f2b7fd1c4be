import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { findCredentials } from '../authentication/credentials.ts';
import { mayDo, toPrincipal } from '../authentication/principal.ts';
import { requestInfoOf } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { timestampField } from '../http/fields.ts';
import { defineContract } from '../http/route.ts';
import type { Services } from '../services.ts';
import { isLoopback } from '../settings/loopback.ts';
import { refusalBeforeTenant } from '../verification/decide.ts';
import type { DevMailbox } from './dev-mailbox.ts';
import { mailPolicy, pagePolicy, renderDevMailbox } from './dev-mailbox-page.ts';

const onlyHere =
  'In development alone, to a loopback name from this machine, with a key of the operator’s account by Basic; else there is no such route.';
const errors = ['missing_key', 'invalid_key', 'permission_denied', 'route_not_found'] as const;
const query = z.object({ to: z.string().optional().describe('Only mails to this address.') });
const shownMail = z.object({
  id: z.string(),
  to: z.string(),
  subject: z.string(),
  text: z.string(),
  html: z.string(),
  created_at: timestampField,
});

export const devMailboxContracts = [
  defineContract({
    method: 'GET',
    path: '/dev/mailbox.json',
    operationId: 'devMailbox.list',
    summary: 'List the mails that were not sent, newest first',
    description: onlyHere,
    security: 'operator',
    query,
    responses: { 200: { description: 'The mails.', schema: z.object({ data: z.array(shownMail) }) } },
    errors: [...errors],
  }),
  defineContract({
    method: 'GET',
    path: '/dev/mailbox',
    operationId: 'devMailbox.show',
    summary: 'A page of the mails that were not sent',
    description: onlyHere,
    security: 'operator',
    query,
    responses: { 200: { description: 'The page.', contentType: 'text/html' } },
    errors: [...errors],
  }),
  defineContract({
    method: 'GET',
    path: '/dev/mailbox/{mail_id}',
    operationId: 'devMailbox.showMail',
    summary: 'The HTML of a mail',
    description: onlyHere,
    security: 'operator',
    params: z.object({ mail_id: z.string() }),
    responses: { 200: { description: 'As a mail program shows it.', contentType: 'text/html' } },
    errors: [...errors],
  }),
];

/**
 * Registers the pages that show a developer the mails that were not sent. There are none in production.
 *
 * They hold codes by which people sign in, so they are for whoever holds the operator's key and sits at this machine. The
 * attacks: a page on the web whose name is pointed at 127.0.0.1 (its name stands in Host), or that asks from a browser in
 * which the developer has signed in here; a proxy on this machine that lets the world in; another user of the machine.
 */
export function registerDevMailboxRoutes(
  app: FastifyInstance,
  services: Services,
  mailbox: DevMailbox | null,
): void {
  if (services.settings.mode !== 'development') return;

  const guarded =
    (show: (request: FastifyRequest, reply: FastifyReply) => unknown) =>
    async (request: FastifyRequest, reply: FastifyReply) => {
      requireThisMachine(request);
      await requireOperator(services, request);
      reply.headers({
        'Cache-Control': 'no-store',
        'Referrer-Policy': 'no-referrer',
        'Cross-Origin-Resource-Policy': 'same-origin',
        'Cross-Origin-Opener-Policy': 'same-origin',
      });
      return show(request, reply);
    };

  app.get(
    '/dev/mailbox.json',
    guarded((request) => ({ data: mailbox?.list(addressIn(request)) ?? [] })),
  );

  app.get(
    '/dev/mailbox',
    guarded((request, reply) => {
      const to = addressIn(request);
      const page = renderDevMailbox({ mails: mailbox?.list(to) ?? [], to, isBypassed: mailbox === null });
      return reply
        .type('text/html; charset=utf-8')
        .headers({ 'Content-Security-Policy': pagePolicy, 'X-Frame-Options': 'DENY' })
        .send(page);
    }),
  );

  app.get(
    '/dev/mailbox/:mail_id',
    guarded((request, reply) => {
      const mail = mailbox?.find((request.params as { mail_id: string }).mail_id);
      if (mail === undefined) throw new AppError('not_found');
      return reply
        .type('text/html; charset=utf-8')
        .headers({ 'Content-Security-Policy': mailPolicy, 'X-Frame-Options': 'SAMEORIGIN' })
        .send(mail.html);
    }),
  );
}

const forwardingHeaders = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
];

/** @throws route_not_found for whoever is not at this machine itself, as if there were no such page */
function requireThisMachine(request: FastifyRequest): void {
  const { headers } = request;
  const host = `http://${headers.host ?? ''}`;
  const site = headers['sec-fetch-site'];
  const isHere =
    requestInfoOf(request.raw).isLoopback &&
    URL.canParse(host) &&
    isLoopback(host) &&
    !forwardingHeaders.some((name) => headers[name] !== undefined) &&
    (site === undefined || site === 'same-origin' || site === 'none');
  if (!isHere) throw new AppError('route_not_found');
}

/**
 * By Basic alone, as a browser sends it by itself and a script may. Not by the authenticator: it would take the browser of
 * a developer for a leak of the key.
 *
 * @throws missing_key, invalid_key (401), permission_denied (403)
 */
async function requireOperator(services: Services, request: FastifyRequest): Promise<void> {
  const credentials = findCredentials(request.headers, { keyHeaders: ['authorization'], takesBasic: true });
  if (credentials.outcome === 'missing')
    throw new AppError('missing_key', {
      detail: 'Sign in by Basic with the id and secret of the operator’s key.',
    });
  if (credentials.outcome !== 'one' || credentials.key.keyId === null) throw new AppError('invalid_key');
  const { keyId, secret } = credentials.key;
  const record = await services.keys.find(secret);
  const isAlive =
    record !== null &&
    record.id === keyId &&
    record.kind === 'secret' &&
    refusalBeforeTenant(record, undefined, services.clock.nowMs()) === null;
  if (!isAlive) throw new AppError('invalid_key');
  const principal = toPrincipal(record, secret);
  if (!principal.isOperator || !mayDo(principal, 'gatelodge.mails:read'))
    throw new AppError('permission_denied', {
      detail: 'These pages are for a key of the operator’s account.',
    });
}

/** An empty field of the page's form looks for nothing. */
function addressIn(request: FastifyRequest): string | undefined {
  const { to } = request.query as { to?: unknown };
  return typeof to === 'string' && to.trim() !== '' ? to : undefined;
}
