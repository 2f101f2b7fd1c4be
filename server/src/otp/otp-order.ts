import type { RequestInfo } from '../edge/request-info.ts';
import type { Actor } from '../events/event.ts';
import type { CodeMailLanguage } from '../mail/code-mail-texts.ts';
import type { IssuerRecord } from '../verification/records.ts';

/** An application, by its API key, which has users sign in. */
export interface KeySender {
  readonly keyId: string;
  /** The first key of its line of rotations. */
  readonly lineageId: string;
  readonly organizationId: string | null;
  /** A publishable key, by which browsers ask: each from the address of its own user. */
  readonly isPublishable: boolean;
}

/** Who has users sign in, and so whose budget of mails they take from: an application, or the issuer's own login pages. */
export type OtpSender = KeySender | 'login-pages';

/** A request of somebody who may have users sign in there. */
export interface OtpOrder<Asked> {
  readonly asked: Asked;
  readonly sender: OtpSender;
  /** The issuer of the key, or the one that the path names. */
  readonly home: IssuerRecord;
  /** Whose users sign in; null where that is a sandbox twin of `home` that nobody has made yet. */
  readonly issuer: IssuerRecord | null;
  readonly info: RequestInfo;
  /** What the page speaks that the user is at; unless given, the issuer's settings decide. */
  readonly language?: CodeMailLanguage;
  /** Of the events. */
  readonly author: { readonly actor: Actor; readonly requestId: string };
}

/** Which organization's key it was. */
export function organizationOf(sender: OtpSender): string | null {
  return sender === 'login-pages' ? null : sender.organizationId;
}
