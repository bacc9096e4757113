import { type Command, InvalidArgumentError, type Option } from 'commander';
import { parseAddress } from '../base/address.js';
import { DURATION_FORM, parseDurationMs } from '../base/duration.js';
import { BalsaError } from '../base/errors.js';
import type { ConsistencyOption } from '../client/client.js';
import type { CliIo } from './io.js';

/** Flags: their environment variables by one rule, and the kinds of values they take. */

/** The variable of a flag: `--log-level` is `BALSA_LOG_LEVEL`. */
export function environmentName(option: Option): string {
  return `BALSA_${option.name().replaceAll('-', '_').toUpperCase()}`;
}

/**
 * Gives flags that are not on the command line the value of their variable, for the command and its
 * parents. An empty variable counts as not set.
 *
 * @throws BalsaError `INVALID_ARGUMENT` that names the variable
 */
export function applyEnvironment(command: Command, env: CliIo['env']): void {
  for (let level: Command | null = command; level !== null; level = level.parent) {
    for (const option of level.options) {
      if (asksForSomethingElse(level, option)) continue;
      const text = env[environmentName(option)];
      if (text === undefined || text === '') continue;
      const name = option.attributeName();
      const source = level.getOptionValueSource(name);
      if (source !== undefined && source !== 'default') continue;
      level.setOptionValueWithSource(name, parseValue(option, text), 'env');
    }
  }
}

/**
 * It asks for something else than what the command does, and its variable is for others to use: BALSA_LISTEN is where a replica
 * listens, also in whose surroundings `elect` runs.
 */
function asksForSomethingElse(command: Command, { long }: Option): boolean {
  return long === '--version' || (long === '--listen' && command.name() === 'elect');
}

function parseValue(option: Option, text: string): unknown {
  try {
    // `--no-wait` is BALSA_NO_WAIT, and turns `wait` off.
    if (option.isBoolean() || option.negate) return parseBoolean(text) !== option.negate;
    return option.parseArg === undefined ? text : option.parseArg(text, undefined);
  } catch (cause) {
    if (!(cause instanceof InvalidArgumentError)) throw cause;
    const message = `${environmentName(option)}=${text} (for ${option.long ?? ''}): ${cause.message}`;
    throw new BalsaError('INVALID_ARGUMENT', message, { cause });
  }
}

function parseBoolean(text: string): boolean {
  if (['1', 'true', 'yes'].includes(text.toLowerCase())) return true;
  if (['0', 'false', 'no'].includes(text.toLowerCase())) return false;
  throw new InvalidArgumentError('It must be 1 or 0, true or false.');
}

/**
 * The value of a flag that has to be given. (Commander's own check does not know the variables.)
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function needed<T>(flag: string, value: T | undefined): T {
  if (value !== undefined) return value;
  const variable = `BALSA_${flag.replaceAll('-', '_').toUpperCase()}`;
  throw new BalsaError('INVALID_ARGUMENT', `--${flag} is needed (or ${variable})`);
}

// ---------------------------------------------------------------------------------------------
// Kinds of values

export function parseTimeoutMs(text: string): number {
  const value = parseDurationMs(text);
  // Timers of Node take 31 bits.
  if (value !== null && value < 2 ** 31) return Math.ceil(value);
  throw new InvalidArgumentError(`It must be ${DURATION_FORM}.`);
}

export function parseEndpoints(text: string): string[] {
  const endpoints = text.split(',').map((part) => part.trim());
  for (const endpoint of endpoints) {
    const parsed = parseAddress(endpoint);
    if (!parsed.ok) throw new InvalidArgumentError(`${capital(parsed.problem)}.`);
    if (parsed.address.port === 0) throw new InvalidArgumentError(`"${endpoint}" has port 0.`);
  }
  return [...new Set(endpoints)];
}

/** `n1=host:port,n2=host:port`, by name. */
export function parseMembers(text: string): Record<string, string> {
  const members: Record<string, string> = {};
  for (const part of text.split(',').map((piece) => piece.trim())) {
    const equals = part.indexOf('=');
    if (equals < 1) {
      throw new InvalidArgumentError(`It must be like n1=host:port,n2=host:port, found "${part}".`);
    }
    const [address = ''] = parseEndpoints(part.slice(equals + 1));
    members[part.slice(0, equals).trim()] = address;
  }
  return members;
}

/** An index of the log: 0 is that of the configuration that a cluster is formed with. */
export function parseIndex(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 0.');
}

export function parseCount(text: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (value >= 1) return value;
  throw new InvalidArgumentError('It must be a whole number from 1.');
}

export const CONSISTENCY_FORM =
  'linearizable, session, session:TOKEN, bounded:500ms, at:REVISION, any (works without a majority), ap-local';

/** A level as it is written on the command line. */
export function parseConsistency(text: string): ConsistencyOption {
  if (text === 'linearizable' || text === 'session' || text === 'any' || text === 'ap-local') {
    return text;
  }
  const colon = text.indexOf(':');
  const kind = text.slice(0, Math.max(0, colon));
  const rest = text.slice(colon + 1);
  if (kind === 'session' && rest !== '') return { session: rest };
  if (kind === 'bounded') return { bounded: parseTimeoutMs(rest) };
  if (kind === 'at') return { at: parseIndex(rest) };
  throw new InvalidArgumentError(`It must be one of ${CONSISTENCY_FORM}.`);
}

/** The same text again. */
export function consistencyText(option: ConsistencyOption): string {
  if (typeof option === 'string') return option;
  if ('session' in option) return `session:${option.session}`;
  return 'bounded' in option ? `bounded:${option.bounded}ms` : `at:${option.at}`;
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** A number of bytes: `4096`, `64MiB`. */
export function parseSize(text: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?(\w*)$/.exec(text.trim());
  const bytes = Number(match?.[1]) * (SIZE_UNITS[match?.[2] ?? ''] ?? Number.NaN);
  if (Number.isFinite(bytes) && bytes <= Number.MAX_SAFE_INTEGER) return Math.floor(bytes);
  throw new InvalidArgumentError('It must be a size, like 4096, 64MiB or 2GiB; 0: no bound.');
}

/** Time to live: `60s`, `5m`; a bare number is in seconds, as in etcd. */
export function parseTtlMs(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const value = parseDurationMs(text);
  if (value !== null) return Math.ceil(value);
  throw new InvalidArgumentError('It must be like 60s or 5m; a bare number is in seconds.');
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
