import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import { parseKey } from './key-argument.js';

/** Of an argument, for `--help`. */
export const KEY_HELP = 'the key; base64:AP8B when its bytes are no text';

/** Flags that say which keys a command is about. */
export interface KeyFlags {
  /** `true`: the key that was given is the prefix. */
  readonly prefix?: string | true;
  readonly from?: string;
  readonly to?: string;
}

export function addKeyFlags(command: Command): Command {
  return command
    .option('--prefix [prefix]', 'all keys that start with it; alone: with the key that is given')
    .option('--from <key>', 'first key')
    .option('--to <key>', 'first key behind the last');
}

type Key = string | Uint8Array;

/** One key, or the keys of a range. */
export type Keys =
  | { readonly key: Key; readonly range?: undefined }
  | { readonly key?: undefined; readonly range: RangeOfKeys };

export type RangeOfKeys =
  | { readonly prefix: Key; readonly from?: undefined; readonly to?: undefined }
  | { readonly prefix?: undefined; readonly from: Key; readonly to?: Key | undefined };

/**
 * What the argument and the flags name; `null`: nothing.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function namedKeys(name: string, key: string | undefined, flags: KeyFlags): Keys | null {
  const { prefix, from, to } = flags;
  const isRange = from !== undefined || to !== undefined;
  const given = [key !== undefined && prefix !== true, prefix !== undefined, isRange];
  if (given.filter(Boolean).length > 1) {
    throw invalid(`${name}: give a key, or --prefix, or --from and --to`);
  }
  if (prefix === true && key === undefined) throw invalid(`${name}: --prefix of what?`);
  if (prefix !== undefined) {
    return { range: { prefix: parseKey(prefix === true ? (key ?? '') : prefix) } };
  }
  if (isRange) {
    return { range: { from: parseKey(from ?? ''), to: to === undefined ? to : parseKey(to) } };
  }
  return key === undefined ? null : { key: parseKey(key) };
}

/** The same where the argument is the prefix; nothing named: every key. */
export function namedRange(
  name: string,
  prefix: string | undefined,
  flags: KeyFlags,
): RangeOfKeys | Record<never, never> {
  const asPrefix = prefix === undefined ? flags : { ...flags, prefix: flags.prefix ?? true };
  return namedKeys(name, prefix, asPrefix)?.range ?? {};
}

/** @throws BalsaError `INVALID_ARGUMENT` when nothing is named */
export function neededKeys(name: string, key: string | undefined, flags: KeyFlags): Keys {
  const keys = namedKeys(name, key, flags);
  if (keys !== null) return keys;
  throw invalid(`${name}: give a KEY, or --prefix, or --from and --to`);
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message);
}
