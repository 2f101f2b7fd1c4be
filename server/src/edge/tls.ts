import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Settings } from '../settings.ts';
import { StartError } from '../supervisor/start-error.ts';

/**
 * Certificate chain and private key for HTTPS, both PEM; null where the settings name none.
 *
 * @throws StartError when a file cannot be read, or the two do not make a certificate that can be served
 */
export async function readTls(
  settings: Pick<Settings, 'tlsCert' | 'tlsKey'>,
): Promise<{ cert: Buffer; key: Buffer } | null> {
  const { tlsCert, tlsKey } = settings;
  if (tlsCert === undefined || tlsKey === undefined) return null;
  const pair = {
    cert: await readPem('GATELODGE_TLS_CERT', tlsCert),
    key: await readPem('GATELODGE_TLS_KEY', tlsKey),
  };
  try {
    createSecureContext(pair);
  } catch (cause) {
    throw new StartError(
      `HTTPS cannot be served with ${tlsCert} and ${tlsKey}: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        hint: 'Name the certificate chain in GATELODGE_TLS_CERT and the private key that belongs to it, without a passphrase, in GATELODGE_TLS_KEY; both as PEM.',
        cause,
      },
    );
  }
  return pair;
}

async function readPem(variable: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new StartError(
      `${variable} names a file that cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { hint: `Set ${variable} to a PEM file that the user running Gatelodge may read.`, cause },
    );
  }
}
