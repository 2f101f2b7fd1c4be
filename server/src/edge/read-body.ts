import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { AppError } from '../errors.ts';
import type { EdgeRequest } from './edge-request.ts';

export const maxBodyBytes = 256 * 1024;
const noBytes = Buffer.alloc(0);

const jsonTypePattern = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/**
 * Reads a JSON body of at most 256 KiB, or what else its route takes: at once where the request has come in whole, else
 * with a promise.
 *
 * @throws unsupported_media_type (415), body_too_large (413), malformed_json (400)
 */
export function readJsonBody(request: EdgeRequest, maxBytes = maxBodyBytes): unknown {
  requireJson(request);
  requireLength(request, maxBytes);
  if (request.wholeBody === undefined) return streamBody(request, maxBytes, parseJson);
  return parseJson(request.wholeBody);
}

/** As `readJsonBody`; undefined for a body without a byte, announced or not, which needs no type either. */
export function readOptionalJsonBody(request: EdgeRequest, maxBytes: number): unknown {
  requireLength(request, maxBytes);
  const parse = (body: Buffer) => {
    if (body.length === 0) return undefined;
    requireJson(request);
    return parseJson(body);
  };
  return request.wholeBody === undefined ? streamBody(request, maxBytes, parse) : parse(request.wholeBody);
}

/** @throws unsupported_media_type */
function requireJson(request: EdgeRequest): void {
  const contentType = request.headers['content-type'];
  if (contentType !== 'application/json' && !jsonTypePattern.test(contentType ?? ''))
    throw new AppError('unsupported_media_type');
}

/** @throws body_too_large, by what is announced */
function requireLength(request: EdgeRequest, maxBytes: number): void {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('body_too_large', { detail: `A body may have at most ${maxBytes / 1024} KiB.` });
}

function streamBody(
  request: IncomingMessage,
  maxBytes: number,
  parse: (body: Buffer) => unknown,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let rest: Buffer[] | undefined;
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        request.removeAllListeners('data');
        reject(tooLarge(maxBytes));
      } else if (first === undefined) first = chunk;
      else {
        rest ??= [first];
        rest.push(chunk);
      }
    });
    request.on('end', () => {
      const body = (rest === undefined ? first : Buffer.concat(rest)) ?? noBytes;
      try {
        resolve(parse(body));
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', (cause) => reject(new AppError('bad_request', { cause })));
    // Also comes after every 'end'; only before it does it mean anything, and making an error costs microseconds.
    request.on('close', () => {
      if (!request.complete) reject(new AppError('bad_request', { cause: 'the client went away' }));
    });
  });
}

function parseJson(body: Buffer): unknown {
  // RFC 8259 §8.1. Bytes that are no UTF-8 would else become U+FFFD, as if they had been meant.
  if (!isUtf8(body)) throw new AppError('malformed_json');
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    throw new AppError('malformed_json', { cause });
  }
}
