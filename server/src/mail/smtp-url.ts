import { isLoopback } from '../settings/loopback.ts';

/** How to reach the mail server that takes our mails. */
export interface SmtpServer {
  readonly host: string;
  readonly port: number;
  /**
   * `implicit`: TLS from the first byte on. `required`: STARTTLS (RFC 3207) before anything else, or no mail. `none`: never,
   * whatever the server offers.
   */
  readonly tls: 'implicit' | 'required' | 'none';
  /** Both or neither. */
  readonly credentials: { readonly user: string; readonly password: string } | null;
}

export type SmtpUrlParse = { ok: true; server: SmtpServer } | { ok: false; problem: string };

const usualPorts = { smtp: 587, smtps: 465 } as const;
const example = 'smtps://user:password@mail.example.com:465';

/**
 * Reads `smtp://` or `smtps://[user:password@]host[:port][?tls=required|none]`.
 *
 * `smtps` is TLS from the start. `smtp` is STARTTLS, required unless the server is on this machine or `tls=none` says
 * otherwise; never "where offered", for whoever is in between could take the offer away.
 */
export function parseSmtpUrl(text: string): SmtpUrlParse {
  const scheme = /^(smtps?):\/\//.exec(text)?.[1] as keyof typeof usualPorts | undefined;
  const url = scheme !== undefined && URL.canParse(text) ? new URL(text) : undefined;
  if (scheme === undefined || url === undefined || url.hostname === '') {
    return no(`must be a URL such as ${example} (special characters of a password percent-encoded)`);
  }
  if ((url.pathname !== '' && url.pathname !== '/') || url.hash !== '') {
    return no('must have no path and no fragment');
  }
  if (!/^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])$/.test(url.hostname)) {
    return no('must name its server by a host name in ASCII or an IP address');
  }
  const credentials = credentialsOf(url);
  if (typeof credentials === 'string') return no(credentials);
  const options = [...url.searchParams];
  const [name, wanted] = options[0] ?? [];
  if (options.length > 1 || (options.length === 1 && name !== 'tls')) {
    return no('takes one option, tls=required or tls=none');
  }
  if (wanted !== undefined && wanted !== 'required' && wanted !== 'none') {
    return no('takes tls=required or tls=none');
  }
  if (scheme === 'smtps' && wanted === 'none') return no('must be smtp: for tls=none, since smtps is TLS');
  const host = decodeHost(url.hostname);
  const usual = isLoopback(`http://${url.hostname}`) ? 'none' : 'required';
  return {
    ok: true,
    server: {
      host,
      port: url.port === '' ? usualPorts[scheme] : Number(url.port),
      tls: scheme === 'smtps' ? 'implicit' : (wanted ?? usual),
      credentials,
    },
  };
}

/** Passwords would be read by whoever listens in between. */
export function sendsPasswordInTheClear({ host, tls, credentials }: SmtpServer): boolean {
  return tls === 'none' && credentials !== null && !isLoopback(`http://${bracketed(host)}`);
}

function credentialsOf(url: URL): SmtpServer['credentials'] | string {
  if (url.username === '' && url.password === '') return null;
  if (url.username === '' || url.password === '') return 'must name both a user and a password, or neither';
  try {
    return { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  } catch {
    return 'must have its user and password percent-encoded: a % stands as %25';
  }
}

function decodeHost(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function no(problem: string): SmtpUrlParse {
  return { ok: false, problem };
}
