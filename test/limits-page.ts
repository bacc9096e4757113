import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { isErrorCode } from '../src/base/errors.js';
import { LIMITS } from '../src/base/limits.js';
import { startCommand } from '../src/cli/start.js';
import { FIELD_NAMES, FIELDS, type FieldName } from '../src/server/config-fields.js';
import { isBoundedLimit, LIMIT_BOUNDS, LIMIT_NAMES } from '../src/server/config-limits.js';
import { environmentName } from '../src/server/load-config.js';

/** The tables of docs/limits.md, as the code has it. */

const SOURCE = readFileSync(resolve(import.meta.dirname, '../src/base/limits.ts'), 'utf8');

/** What stands above each limit, in one line. */
const COMMENTS = new Map(
  [...SOURCE.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(\w+): /g)].map(
    ([, comment = '', name = '']) => [name, comment.replaceAll(/\s*\n\s*\*?\s*/g, ' ').trim()],
  ),
);

/** Name, default, what it may be set to, what it bounds, the error that says that it was reached. */
export function limitRows(): string[] {
  return LIMIT_NAMES.map((name) => {
    const comment = COMMENTS.get(name) ?? '';
    const codes = [...comment.matchAll(/`([A-Z_]+)`/g)].map(([, code = '']) => code);
    // Those that stand in brackets alone have a column of their own.
    const text = comment.replaceAll(/ \((?:`[A-Z_]+`(?:, )?)+\)/g, '');
    const known = codes.filter(isErrorCode).map((code) => `\`${code}\``);
    const bounds = isBoundedLimit(name) ? LIMIT_BOUNDS[name] : null;
    const range =
      bounds === null ? 'fixed' : `${inUnits(name, bounds.min)} to ${inUnits(name, bounds.max)}`;
    const cells = [`\`${name}\``, inUnits(name, LIMITS[name]), range, text];
    return `| ${cells.join(' | ')} | ${[...new Set(known)].join(', ')} |`;
  });
}

/** Field of the file, flag and variable of `balsa start`, and what its help says. */
export function fieldRows(): string[] {
  const command = startCommand({ io: {} as never, exit: 0, behindDashes: null });
  return FIELD_NAMES.map((field) => {
    const { flag } = FIELDS[field];
    const option = command.options.find((one) => one.name() === flag);
    const help = `${option?.description ?? ''}${rangeOf(field)}`;
    return `| \`${field}\` | \`${option?.flags ?? ''}\` | \`${environmentName(flag)}\` | ${help} |`;
  });
}

/** As its error says it. */
function rangeOf(field: FieldName): string {
  const result = FIELDS[field].schema.safeParse(-1);
  const said = /whole number( of milliseconds)? from (\d+) to (\d+)/.exec(
    result.error?.issues[0]?.message ?? '',
  );
  if (said === null) return '';
  const [, milliseconds, min, max] = said;
  const inWords = (value = ''): string =>
    milliseconds === undefined ? value : duration(Number(value));
  return `; ${inWords(min)} to ${inWords(max)}`;
}

const KiB = 1024;
const BYTES = [
  ['GiB', KiB ** 3],
  ['MiB', KiB ** 2],
  ['KiB', KiB],
] as const;
const TIMES = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const;

function inUnits(name: string, value: number): string {
  if (name.includes('Bytes')) return inLargest(BYTES, value, value === 0 ? '' : ' B');
  return name.includes('Ms') ? duration(value) : value.toLocaleString('en-US');
}

function duration(ms: number): string {
  return inLargest(TIMES, ms, ' ms');
}

/** In the largest unit of which it is a whole number. */
function inLargest(
  units: readonly (readonly [name: string, size: number])[],
  value: number,
  otherwise: string,
): string {
  const found = units.find(([, size]) => value > 0 && value % size === 0);
  if (found === undefined) return `${value.toLocaleString('en-US')}${otherwise}`;
  const [unit, size] = found;
  return `${(value / size).toLocaleString('en-US')} ${unit}`;
}
