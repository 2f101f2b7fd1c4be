import type { IncomingMessage } from 'node:http';
import { AppError } from '../errors.ts';

export const maxBodyBytes = 256 * 1024;

const jsonTypePattern = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/**
 * Reads a JSON body of at most 256 KiB.
 *
 * @throws unsupported_media_type (415), body_too_large (413), malformed_json (400)
 */
export async function readJsonBody(request: IncomingMessage): Promise<unknown> {
  const contentType = request.headers['content-type'];
  if (contentType !== 'application/json' && !jsonTypePattern.test(contentType ?? '')) {
    throw new AppError('unsupported_media_type');
  }
  const text = await readText(request);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError('malformed_json', { cause });
  }
}

function readText(request: IncomingMessage): Promise<string> {
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) throw new AppError('body_too_large');
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBodyBytes) {
        request.removeAllListeners('data');
        reject(new AppError('body_too_large'));
        return;
      }
      chunks.push(chunk);
    });
    request.on('end', () =>
      resolve(chunks.length === 1 ? chunks[0]!.toString() : Buffer.concat(chunks).toString()),
    );
    request.on('error', (cause) => reject(new AppError('bad_request', { cause })));
    request.on('close', () => reject(new AppError('bad_request', { cause: 'the client went away' })));
  });
}
