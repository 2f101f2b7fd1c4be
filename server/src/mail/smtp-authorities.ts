import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A file of authorities, or what is wrong with it in words that repeat nothing of its path or content. */
export type Authorities =
  | { readonly ok: true; readonly pem: Buffer }
  | { readonly ok: false; readonly problem: string };

const certificate = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Reads the certificates that a mail server's one is checked against. */
export function readAuthorities(path: string): Authorities {
  let pem: Buffer;
  try {
    pem = readFileSync(path);
  } catch (error) {
    return { ok: false, problem: `must be a file that can be read; this one can’t (${codeOf(error)})` };
  }
  const certificates = pem.toString('latin1').match(certificate) ?? [];
  if (certificates.length === 0)
    return { ok: false, problem: 'must be a PEM file with certificates; it has none' };
  // TLS itself would pass over a damaged one, and trust nobody.
  if (!certificates.every(isWhole))
    return { ok: false, problem: 'must be a PEM file of certificates; one of them is damaged' };
  return { ok: true, pem };
}

function isWhole(text: string): boolean {
  try {
    new X509Certificate(text);
    return true;
  } catch {
    return false;
  }
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException | null)?.code ?? 'unknown');
}
