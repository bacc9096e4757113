import { isIPv4, isIPv6 } from 'node:net';

/** `host:port`; an IPv6 host is written in brackets, `[::1]:7001`. */
export interface Address {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

export type ParsedAddress =
  | { readonly ok: true; readonly address: Address }
  /** `problem` says what is wrong, fit to follow "…: ". */
  | { readonly ok: false; readonly problem: string };

const HOST_NAME =
  /^(?=.{1,253}$)[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?(?:\.[a-zA-Z0-9_-]+)*\.?$/;

/** Reads `host:port`; ports from 0 to 65535. */
export function parseAddress(text: string): ParsedAddress {
  const match = /^(?:\[(.*)\]|([^[\]]*)):([^:]*)$/s.exec(text);
  if (match === null) return wrong(`"${text}" is not host:port`);
  const [, bracketed, plain, portText = ''] = match;
  const host = bracketed ?? plain ?? '';
  if (!/^\d{1,5}$/.test(portText) || Number(portText) > 65_535) {
    return wrong(`"${text}" has no port from 0 to 65535 behind the last colon`);
  }
  if (bracketed !== undefined && !isIPv6(host)) return wrong(`"${host}" is not an IPv6 address`);
  if (bracketed === undefined && isIPv6(host)) {
    return wrong(`an IPv6 address needs brackets: [${host}]:${portText}`);
  }
  if (bracketed === undefined && !isHost(host)) return wrong(`"${host}" is not a host name`);
  return { ok: true, address: { host, port: Number(portText) } };
}

export function formatAddress(address: Address): string {
  const host = isIPv6(address.host) ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/** An address like 0.0.0.0 means "all of this machine" and cannot be given to others. */
export function isWildcardHost(host: string): boolean {
  return host === '0.0.0.0' || (isIPv6(host) && /^[0:]+$/.test(host));
}

function isHost(host: string): boolean {
  // What looks like dotted numbers is meant as IPv4: 1.2.3.400 is a typing error, not a name.
  return /^[\d.]+$/.test(host) ? isIPv4(host) : HOST_NAME.test(host);
}

function wrong(problem: string): ParsedAddress {
  return { ok: false, problem };
}
