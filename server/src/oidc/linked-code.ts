import type { IncomingMessage } from 'node:http';
import type { Context } from 'oidc-provider';
import { paths } from './metadata.ts';

/** As long as the field of the page takes. */
const maxLength = 40;

const linked = new WeakMap<IncomingMessage, string>();

/**
 * Takes the code of a device out of a link that brings it (`verification_uri_complete`, RFC 8628 §3.3.1). The library would
 * submit it at once, by a script; whoever follows the link is to compare it with what the device shows first.
 */
export function takeLinkedCode(context: Context): void {
  if (context.method !== 'GET' || !context.path.endsWith(paths.code_verification)) return;
  const code = new URLSearchParams(context.querystring).get('user_code');
  if (code === null) return;
  linked.set(context.req, code.slice(0, maxLength).toWellFormed());
  context.querystring = '';
}

/** The code that the link of this request has brought; empty where it has brought none. */
export function linkedCode({ req }: Context): string {
  return linked.get(req) ?? '';
}
