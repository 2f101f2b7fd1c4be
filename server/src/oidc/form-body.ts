import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { OAuthError } from './oauth-answer.ts';

const maxBodyBytes = 56 * 1024;
const formType = /^application\/x-www-form-urlencoded\s*(;|$)/i;

/**
 * The parameters of a form.
 *
 * @throws invalid_request (400; 413 where it is too long)
 */
export async function readForm(request: EdgeRequest): Promise<URLSearchParams> {
  if (!formType.test(request.headers['content-type'] ?? ''))
    throw new OAuthError(400, 'invalid_request', 'send application/x-www-form-urlencoded');
  const bytes = await readBytes(request);
  if (!isUtf8(bytes)) throw new OAuthError(400, 'invalid_request', 'the body is no UTF-8');
  return new URLSearchParams(bytes.toString());
}

/** Longer ones are nothing to decide by. */
const mostPeeked = 4 * 1024;

/**
 * The parameters of a form whose body has come in one piece, without taking it from whoever reads it next; null where it
 * is longer, in pieces, or no form.
 */
export async function peekForm(request: IncomingMessage): Promise<URLSearchParams | null> {
  const length = Number(request.headers['content-length'] ?? 0);
  if (!(length > 0 && length <= mostPeeked) || !formType.test(request.headers['content-type'] ?? ''))
    return null;
  if (request.readableLength === 0 && !request.complete) await arrival(request);
  if (request.readableLength !== length) return null;
  const bytes = request.read(length) as Buffer | null;
  if (bytes === null) return null;
  // In the same turn as it was taken out: the stream has not ended yet.
  request.unshift(bytes);
  return isUtf8(bytes) ? new URLSearchParams(bytes.toString()) : null;
}

/** Until there is something to read, or never will be. */
function arrival(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    const arrived = () => {
      request.off('readable', arrived).off('close', arrived);
      resolve();
    };
    request.on('readable', arrived).on('close', arrived);
  });
}

async function readBytes(request: EdgeRequest): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
  if (request.wholeBody !== undefined) return request.wholeBody;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      length += (chunk as Buffer).length;
      if (length > maxBodyBytes) throw tooLarge();
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    throw error instanceof OAuthError ? error : new OAuthError(400, 'invalid_request', 'the body broke off');
  }
  return Buffer.concat(chunks, length);
}

function tooLarge(): OAuthError {
  return new OAuthError(413, 'invalid_request', 'the body is too large', { Connection: 'close' });
}

/**
 * One parameter of a form; null where it is not there, or empty (RFC 6749 §3.2).
 *
 * @throws invalid_request where it stands there twice
 */
export function parameter(form: URLSearchParams, name: string): string | null {
  const values = form.getAll(name);
  if (values.length > 1) throw new OAuthError(400, 'invalid_request', `${name} must not be sent twice`);
  return values[0] === undefined || values[0] === '' ? null : values[0];
}
