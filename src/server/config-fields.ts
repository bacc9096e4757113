import { z } from 'zod';
import { parseAddress } from '../base/address.js';
import { DURATION_FORM, parseDurationMs } from '../base/duration.js';
import { LIMITS } from '../base/limits.js';
import { nearest } from '../base/suggest.js';
import { isBoundedLimit, LIMIT_BOUNDS, LIMIT_NAMES, type LimitName } from './config-limits.js';

/**
 * The fields of the configuration: how each is written as a flag or environment variable (text) and
 * what values it takes. In the file the names and types are those of `ServerConfig`.
 */

export type TextResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly problem: string };

interface Field<T> {
  /** Long flag without dashes; the environment variable is BALSA_ and its upper snake form. */
  readonly flag: string;
  readonly fromText: (text: string) => TextResult;
  readonly schema: z.ZodType<T>;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const MEMBER_NAME = /^[a-z0-9-]{1,32}$/;
const MEMBER_NAME_FORM = '1 to 32 characters of a-z, 0-9 and -';
const MEMBERS_MAX = 9;

export const FIELDS = {
  name: {
    flag: 'name',
    fromText: asIs,
    schema: pattern(MEMBER_NAME, MEMBER_NAME_FORM),
  },
  cluster: {
    flag: 'cluster',
    fromText: asIs,
    schema: pattern(/^[A-Za-z0-9._-]{1,64}$/, '1 to 64 letters, digits, dots, dashes, underscores'),
  },
  listen: { flag: 'listen', fromText: asIs, schema: address() },
  metricsListen: { flag: 'metrics-listen', fromText: asIs, schema: address() },
  advertise: { flag: 'advertise', fromText: asIs, schema: address() },
  members: { flag: 'members', fromText: placesFromText, schema: members() },
  routes: { flag: 'routes', fromText: placesFromText, schema: routes() },
  dataFolder: {
    flag: 'data',
    fromText: asIs,
    schema: pattern(/^[^\0]+$/, 'the path of a folder'),
  },
  electionTimeoutMs: {
    flag: 'election-timeout',
    fromText: durationFromText,
    schema: wholeNumber({ min: 50, max: 60_000 }, 'milliseconds'),
  },
  heartbeatMs: {
    flag: 'heartbeat',
    fromText: durationFromText,
    schema: wholeNumber({ min: 10, max: 20_000 }, 'milliseconds'),
  },
  logLevel: { flag: 'log-level', fromText: asIs, schema: oneOf(LOG_LEVELS) },
  join: { flag: 'join', fromText: yesOrNoFromText, schema: yesOrNo() },
  reseed: { flag: 'reseed', fromText: yesOrNoFromText, schema: yesOrNo() },
  electionPriority: {
    flag: 'election-priority',
    fromText: numberFromText,
    schema: wholeNumber({ min: 0, max: 1000 }, ''),
  },
  leaseReads: { flag: 'lease-reads', fromText: yesOrNoFromText, schema: yesOrNo() },
  diskStallMs: {
    flag: 'disk-stall',
    fromText: durationFromText,
    schema: wholeNumber({ min: 200, max: 600_000 }, 'milliseconds'),
  },
} as const satisfies Record<string, Field<unknown>>;

export type FieldName = keyof typeof FIELDS;
export const FIELD_NAMES = Object.keys(FIELDS) as readonly FieldName[];

/** Like fields, but not in the file and not in the help: for tests only. */
export const UNSAFE_FAILPOINTS_FLAG = 'unsafe-failpoints';
export const UNSAFE_FORMATS_FLAG = 'unsafe-formats';
export const UNSAFE_DISK_FLAG = 'unsafe-disk';

export function isFieldName(name: string): name is FieldName {
  return Object.hasOwn(FIELDS, name);
}

export const limitsSchema = z
  .record(z.string(), z.unknown(), { error: 'must be an object of limits' })
  .superRefine((limits, context) => {
    for (const [name, value] of Object.entries(limits)) {
      const problem = limitProblem(name, value);
      if (problem !== null) context.addIssue({ code: 'custom', message: problem, path: [name] });
    }
  });

function limitProblem(name: string, value: unknown): string | null {
  const known = LIMIT_NAMES.find((candidate): candidate is LimitName => candidate === name);
  if (known === undefined) return `is not a known limit${didYouMean(nearest(name, LIMIT_NAMES))}`;
  if (!isBoundedLimit(known)) {
    // What is said by all means, as `--print-config` shows it, does no harm.
    if (value === LIMITS[known]) return null;
    return `cannot be set: what the log means depends on it, so it is ${LIMITS[known]} for all replicas`;
  }
  const result = wholeNumber(LIMIT_BOUNDS[known], '').safeParse(value);
  return result.success ? null : (result.error.issues[0]?.message ?? 'is wrong');
}

export function didYouMean(suggestion: string | null): string {
  return suggestion === null ? '' : ` (did you mean ${suggestion}?)`;
}

// ---------------------------------------------------------------------------------------------
// Values

function wholeNumber(bounds: { readonly min: number; readonly max: number }, unit: string) {
  const form = `must be a whole number${unit === '' ? '' : ` of ${unit}`} from ${bounds.min} to ${bounds.max}`;
  return z.custom<number>(
    (value) =>
      Number.isSafeInteger(value) && Number(value) >= bounds.min && Number(value) <= bounds.max,
    { error: (issue) => `${form}, found ${show(issue.input)}` },
  );
}

function pattern(expression: RegExp, form: string) {
  return z.custom<string>((value) => typeof value === 'string' && expression.test(value), {
    error: (issue) => `must be ${form}, found ${show(issue.input)}`,
  });
}

function oneOf<const T extends readonly string[]>(values: T) {
  return z.custom<T[number]>((value) => values.some((known) => known === value), {
    error: (issue) => {
      const meant = typeof issue.input === 'string' ? nearest(issue.input, values) : null;
      return `must be one of ${values.join(', ')}, found ${show(issue.input)}${didYouMean(meant)}`;
    },
  });
}

function yesOrNo() {
  return z.custom<boolean>((value) => typeof value === 'boolean', {
    error: (issue) => `must be true or false, found ${show(issue.input)}`,
  });
}

function address() {
  return z.string({ error: 'must be host:port' }).superRefine((text, context) => {
    const parsed = parseAddress(text);
    if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.problem });
  });
}

function members() {
  return z
    .record(z.string(), address(), { error: 'must be an object like {"n1": "host:port"}' })
    .superRefine((addresses, context) => {
      const problem = (message: string, path: string[] = []) =>
        context.addIssue({ code: 'custom', message, path });
      const names = Object.keys(addresses);
      if (names.length < 1 || names.length > MEMBERS_MAX) {
        problem(`must have 1 to ${MEMBERS_MAX} members, found ${names.length}`);
      }
      for (const name of names) {
        if (!MEMBER_NAME.test(name)) problem(`a member's name must be ${MEMBER_NAME_FORM}`, [name]);
      }
      for (const [name, twin] of twins(addresses)) {
        problem(`has the same address as ${twin}`, [name]);
      }
    });
}

function routes() {
  return z
    .record(z.string(), address(), { error: 'must be an object like {"n2": "host:port"}' })
    .superRefine((addresses, context) => {
      for (const name of Object.keys(addresses).filter((name) => !MEMBER_NAME.test(name))) {
        const message = `a member's name must be ${MEMBER_NAME_FORM}`;
        context.addIssue({ code: 'custom', message, path: [name] });
      }
    });
}

function twins(addresses: Readonly<Record<string, string>>): [string, string][] {
  const owners = new Map<string, string>();
  return Object.entries(addresses).flatMap(([name, text]): [string, string][] => {
    const owner = owners.get(text);
    owners.set(text, owner ?? name);
    return owner === undefined ? [] : [[name, owner]];
  });
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

// ---------------------------------------------------------------------------------------------
// Text of flags and environment variables

function asIs(text: string): TextResult {
  return { ok: true, value: text };
}

function yesOrNoFromText(text: string): TextResult {
  const lower = text.toLowerCase();
  if (['true', 'yes', '1'].includes(lower)) return { ok: true, value: true };
  if (['false', 'no', '0'].includes(lower)) return { ok: true, value: false };
  return { ok: false, problem: `must be true or false, found ${show(text)}` };
}

function numberFromText(text: string): TextResult {
  if (/^\d{1,15}$/.test(text)) return { ok: true, value: Number(text) };
  return { ok: false, problem: `must be a whole number, found ${show(text)}` };
}

function durationFromText(text: string): TextResult {
  const value = parseDurationMs(text);
  if (value !== null) return { ok: true, value };
  return { ok: false, problem: `must be ${DURATION_FORM}, found ${show(text)}` };
}

/** `n1=host:port,n2=host:port` */
function placesFromText(text: string): TextResult {
  const entries = new Map<string, string>();
  for (const part of text.split(',').map((piece) => piece.trim())) {
    const equals = part.indexOf('=');
    if (equals < 1) {
      return { ok: false, problem: `must be like n1=host:port,n2=host:port, found ${show(part)}` };
    }
    const name = part.slice(0, equals).trim();
    if (entries.has(name)) return { ok: false, problem: `names ${name} twice` };
    entries.set(name, part.slice(equals + 1).trim());
  }
  return { ok: true, value: Object.fromEntries(entries) };
}
