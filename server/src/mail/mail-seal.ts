import { createHmac } from 'node:crypto';
import { deriveSubkey, openEnvelope, sealEnvelope } from '../secrets/envelope.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { normalizeAddress } from '../users/username.ts';
import type { OutgoingMail } from './mail.ts';

/** Where a sealed mail stands; moved to another row, issuer or account it does not open. */
export interface MailPlace {
  readonly id: string;
  readonly accountId: string;
  readonly issuerId: string;
}

/** A mail as it is stored. */
export interface SealedMail {
  readonly sealed: Buffer;
  readonly generation: number;
}

/** Encrypts a mail under the installation secret `mail`. */
export function sealMail(secrets: InstallationSecrets, place: MailPlace, mail: OutgoingMail): SealedMail {
  const { generation, key } = secrets.current('mail');
  const sealed = sealEnvelope(sealingKey(key), Buffer.from(JSON.stringify(mail)), associatedData(place));
  return { sealed, generation };
}

/**
 * The mail that was sealed at this place.
 *
 * @throws MailUnreadableError where its generation of the secret is gone, or it was not sealed here
 */
export function openMail(
  secrets: InstallationSecrets,
  place: MailPlace,
  { sealed, generation }: SealedMail,
): OutgoingMail {
  const key = secrets.key('mail', generation);
  if (key === undefined) throw new MailUnreadableError('its generation of the secret is not there');
  try {
    const plain = openEnvelope(sealingKey(key), sealed, associatedData(place));
    return JSON.parse(plain.toString('utf8')) as OutgoingMail;
  } catch (cause) {
    throw new MailUnreadableError('it does not open', { cause });
  }
}

/** What mails to an address of an issuer are found by, under the generation that seals at present. */
export function recipientDigest(secrets: InstallationSecrets, issuerId: string, address: string): Buffer {
  return digestOfRecipient(secrets.current('mail').key, issuerId, address);
}

/** The same under every generation that there are mails of. */
export function recipientDigests(
  secrets: InstallationSecrets,
  issuerId: string,
  address: string,
): readonly Buffer[] {
  return secrets.generations('mail').map(({ key }) => digestOfRecipient(key, issuerId, address));
}

/** One for all spellings of an address; what is none has one of its own, which no mail has. */
function digestOfRecipient(key: Buffer, issuerId: string, address: string): Buffer {
  const parsed = normalizeAddress(address);
  return createHmac('sha256', deriveSubkey(key, 'mail recipients'))
    .update(`${issuerId}\0${parsed.ok ? parsed.key : address}`)
    .digest();
}

/** A stored mail does not open, and never will. */
export class MailUnreadableError extends Error {
  override readonly name = 'MailUnreadableError';
}

function sealingKey(key: Buffer): Buffer {
  return deriveSubkey(key, 'mails');
}

/** Ids have no spaces, so no two places make the same text. */
function associatedData({ id, accountId, issuerId }: MailPlace): string {
  return `mails ${accountId} ${issuerId} ${id}`;
}
