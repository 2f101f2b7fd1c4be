import type { Environment } from '../key-profiles/key-profile.ts';
import type { JsonObject } from '../postgres/schema.ts';

/** Every event that something writes today, dotted and in the past tense. */
export type EventType =
  | 'account.created'
  | 'account.updated'
  | 'account.suspended'
  | 'account.activated'
  | 'account.deletion_requested'
  | 'account.deleted'
  | 'support-grant.created'
  | 'support-grant.revoked'
  | 'support-grant.used'
  | 'plan.created'
  | 'plan.updated'
  | 'plan.deleted'
  | 'issuer.created'
  | 'issuer.updated'
  | 'issuer.suspended'
  | 'issuer.activated'
  | 'issuer.deleted'
  | 'key-profile.updated'
  | 'signing-key.created'
  | 'signing-key.rotated'
  | 'organization.created'
  | 'organization.updated'
  | 'organization.suspended'
  | 'organization.activated'
  | 'organization.deleted'
  | 'organization.membership.created'
  | 'organization.membership.updated'
  | 'organization.membership.deleted'
  | 'organization.group.created'
  | 'organization.group.updated'
  | 'organization.group.deleted'
  | 'client.created'
  | 'client.updated'
  | 'client.secret_rotated'
  | 'client.suspended'
  | 'client.activated'
  | 'client.deleted'
  | 'login-settings.updated'
  | 'oidc-settings.updated'
  | 'authorization.granted'
  | 'logout.failed'
  | 'user.created'
  | 'user.updated'
  | 'user.suspended'
  | 'user.activated'
  | 'user.deleted'
  | 'session.created'
  | 'session.terminated'
  | 'api-key.created'
  | 'api-key.imported'
  | 'api-key.rotated'
  | 'api-key.retired'
  | 'api-key.rotation_due'
  | 'api-key.expiring'
  | 'api-key.exposed'
  | 'api-key.leak_reported'
  | 'api-key.updated'
  | 'api-key.disabled'
  | 'api-key.enabled'
  | 'api-key.revoked'
  | 'api-key.deleted'
  | 'mail.failed'
  | 'mail.expired'
  | 'otp.requested'
  | 'otp.verified'
  | 'otp.failed';

/** Who did it: a key, a user by its own token, or the installation itself (`system`: first start, jobs). */
export interface Actor {
  type: 'api_key' | 'user' | 'system';
  id: string;
  ip: string | null;
  user_agent: string | null;
}

/** A fact to be written down in the transaction that makes it true. `data` holds no secret and no address of others. */
export interface NewEvent {
  type: EventType;
  /** A plan has no id of its own; its name stands for it. A member is known by its user's. */
  subject: {
    type:
      | 'account'
      | 'support_grant'
      | 'plan'
      | 'issuer'
      | 'signing_key'
      | 'organization'
      | 'client'
      | 'member'
      | 'group'
      | 'user'
      | 'session'
      | 'otp_code'
      | 'api_key';
    id: string;
  };
  environment: Environment;
  issuerId?: string | null;
  organizationId?: string | null;
  data?: JsonObject;
}
