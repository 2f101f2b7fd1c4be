import ipaddr from 'ipaddr.js';

/** Says whether a URL's host is this machine: `localhost`, a name below it (RFC 6761), 127.0.0.0/8 or ::1. */
export function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return true;
  const address = hostname.replace(/^\[|\]$/g, '');
  return ipaddr.isValid(address) && ipaddr.parse(address).range() === 'loopback';
}
