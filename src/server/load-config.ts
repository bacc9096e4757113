import { resolve } from 'node:path';
import { isWildcardHost, parseAddress } from '../base/address.js';
import { LIMITS, type Limits } from '../base/limits.js';
import { nearest } from '../base/suggest.js';
import type { ServerConfig } from './config.js';
import {
  didYouMean,
  FIELD_NAMES,
  FIELDS,
  type FieldName,
  limitsSchema,
  UNSAFE_DISK_FLAG,
  UNSAFE_FAILPOINTS_FLAG,
  UNSAFE_FORMATS_FLAG,
} from './config-fields.js';
import {
  type ConfigFile,
  type ConfigProblem,
  configInvalid,
  isRecord,
  readConfigFile,
} from './config-file.js';
import { LIMIT_NAMES, limitProblems } from './config-limits.js';

export interface ConfigSources {
  /** Flags that were given, by long name without dashes: `{ name: 'n1', 'log-level': 'warn' }`. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  /** The environment; an empty variable counts as not set. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Default: reads from the disk. */
  readonly readFile?: (path: string) => string;
}

export interface ConfigEntry {
  /** e.g. `electionTimeoutMs` or `limits.valueBytesMax`. */
  readonly field: string;
  readonly value: unknown;
  /** e.g. `--election-timeout`, `BALSA_ELECTION_TIMEOUT`, `balsa.json`, `default`. */
  readonly source: string;
}

export interface LoadedConfig {
  readonly config: ServerConfig;
  /** Each value with where it came from, for `--print-config`. */
  readonly entries: readonly ConfigEntry[];
}

/** `BALSA_` and the upper snake form of the flag: `log-level` is `BALSA_LOG_LEVEL`. */
export function environmentName(flag: string): string {
  return `BALSA_${flag.replaceAll('-', '_').toUpperCase()}`;
}

/**
 * The configuration of a replica from flags, environment and a JSON file, in this precedence, over
 * the defaults. The file is named by `--config` or `BALSA_CONFIG`.
 *
 * @throws BalsaError `CONFIG_INVALID` with all problems at once (`details.problems`);
 *   `FILE_UNREADABLE` when the file is named but cannot be read
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const problems: ConfigProblem[] = [];
  const path = sources.flags.config ?? sources.env.BALSA_CONFIG ?? '';
  const file = path === '' ? null : readConfigFile(path, problems, sources.readFile);
  const given = new Map<FieldName, Given>();
  for (const field of FIELD_NAMES) {
    const value = readField(field, sources, file, problems);
    if (value !== null) given.set(field, value);
  }
  const limits = readLimits(file, problems);
  const unsafeFailpoints = readUnsafe(UNSAFE_FAILPOINTS_FLAG, sources, problems);
  const unsafeFormats = readUnsafe(UNSAFE_FORMATS_FLAG, sources, problems);
  const unsafeDisk = readUnsafe(UNSAFE_DISK_FLAG, sources, problems);
  const draft = withDefaults(given, problems);
  crossCheck(draft, given, problems);
  if (problems.length > 0) throw configInvalid(problems);
  const config: ServerConfig = { ...draft, limits, unsafeFailpoints, unsafeFormats, unsafeDisk };
  return { config, entries: listEntries(config, given, file) };
}

/** A value that somebody gave, checked. */
interface Given {
  /** `undefined`: it is wrong, and that is among the problems. */
  readonly value: unknown;
  /** For `--print-config`. */
  readonly source: string;
  /** For messages: with the field, when it is in the file. */
  readonly where: string;
}

type Draft = Omit<ServerConfig, 'limits' | 'unsafeFailpoints' | 'unsafeFormats' | 'unsafeDisk'>;

// ---------------------------------------------------------------------------------------------
// Fields

function readField(
  field: FieldName,
  sources: ConfigSources,
  file: ConfigFile | null,
  problems: ConfigProblem[],
): Given | null {
  const { flag, fromText, schema } = FIELDS[field];
  const found = find(field, flag, sources, file);
  if (found === null) return null;
  const { source, where } = found;
  let value = found.value;
  if (typeof value === 'string' && found.isText) {
    const parsed = fromText(value);
    if (!parsed.ok) {
      problems.push({ where, problem: parsed.problem });
      return { value: undefined, source, where };
    }
    value = parsed.value;
  }
  const result = schema.safeParse(value);
  if (result.success) return { value: result.data, source, where };
  for (const issue of result.error.issues) {
    problems.push({ where: [where, ...issue.path].join('.'), problem: issue.message });
  }
  return { value: undefined, source, where };
}

interface Found extends Given {
  /** Text of a flag or variable, not yet a value. */
  readonly isText: boolean;
}

/** Precedence: flag, environment, file. */
function find(
  field: FieldName,
  flag: string,
  sources: ConfigSources,
  file: ConfigFile | null,
): Found | null {
  const fromFlag = sources.flags[flag];
  if (fromFlag !== undefined) {
    return { value: fromFlag, source: `--${flag}`, where: `--${flag}`, isText: true };
  }
  const variable = environmentName(flag);
  const fromEnv = sources.env[variable];
  if (fromEnv !== undefined && fromEnv !== '') {
    return { value: fromEnv, source: variable, where: variable, isText: true };
  }
  if (file !== null && Object.hasOwn(file.content, field)) {
    const where = `${file.path}: ${field}`;
    return { value: file.content[field], source: file.path, where, isText: false };
  }
  return null;
}

function readLimits(file: ConfigFile | null, problems: ConfigProblem[]): Limits {
  if (file === null || file.content.limits === undefined) return LIMITS;
  const where = `${file.path}: limits`;
  const result = limitsSchema.safeParse(file.content.limits);
  if (!result.success) {
    for (const issue of result.error.issues) {
      problems.push({ where: [where, ...issue.path].join('.'), problem: issue.message });
    }
    return LIMITS;
  }
  // The schema has checked that each is a known limit with a number in its bounds.
  const limits: Limits = { ...LIMITS, ...result.data };
  for (const { limit, problem } of limitProblems(limits)) {
    problems.push({ where: `${where}.${limit}`, problem });
  }
  return limits;
}

function readUnsafe(name: string, sources: ConfigSources, problems: ConfigProblem[]): string {
  const flag = sources.flags[name];
  const variable = environmentName(name);
  const value = flag ?? sources.env[variable] ?? '';
  if (value === '' || sources.env.BALSA_UNSAFE_TESTING === '1') return value;
  const where = flag === undefined ? variable : `--${name}`;
  problems.push({ where, problem: 'makes replicas fail; it needs BALSA_UNSAFE_TESTING=1' });
  return '';
}

// ---------------------------------------------------------------------------------------------
// The whole

/** Heartbeats in one election timeout, unless they are set. */
const HEARTBEATS_PER_TIMEOUT = 5;

const DEFAULTS = {
  cluster: 'balsa',
  electionTimeoutMs: 750,
  /** The longest one: a shorter election timeout makes it shorter. */
  heartbeatMs: 100,
  logLevel: 'info',
  electionPriority: 100,
  diskStallMs: 3000,
};

function withDefaults(given: ReadonlyMap<FieldName, Given>, problems: ConfigProblem[]): Draft {
  const pick = <T>(field: FieldName, otherwise: T): T =>
    // Each value has passed the schema of its field.
    (given.get(field)?.value as T | undefined) ?? otherwise;
  const name = pick('name', '');
  const join = pick('join', false);
  const isNeeded = (field: FieldName) => field !== 'members' || !join;
  for (const field of (['name', 'members'] as const).filter(isNeeded)) {
    if (given.has(field)) continue;
    const { flag } = FIELDS[field];
    problems.push({
      where: `--${flag}`,
      problem: `is needed (or ${environmentName(flag)}, or "${field}" in a --config file)`,
    });
  }
  const electionTimeoutMs = pick('electionTimeoutMs', DEFAULTS.electionTimeoutMs);
  const named = pick<Readonly<Record<string, string>>>('members', {});
  const members = join ? withSelf(named, name, pick('advertise', pick('listen', ''))) : named;
  const own = members[name] ?? '';
  return {
    name,
    members,
    cluster: pick('cluster', DEFAULTS.cluster),
    listen: pick('listen', own),
    advertise: pick('advertise', own),
    metricsListen: pick('metricsListen', ''),
    routes: pick('routes', {}),
    dataFolder: resolve(pick('dataFolder', `balsa-data/${name}`)),
    electionTimeoutMs,
    heartbeatMs: pick(
      'heartbeatMs',
      Math.min(DEFAULTS.heartbeatMs, Math.floor(electionTimeoutMs / HEARTBEATS_PER_TIMEOUT)),
    ),
    logLevel: pick('logLevel', DEFAULTS.logLevel),
    join,
    reseed: pick('reseed', false),
    electionPriority: pick('electionPriority', DEFAULTS.electionPriority),
    leaseReads: pick('leaseReads', false),
    diskStallMs: pick('diskStallMs', DEFAULTS.diskStallMs),
  };
}

/** Who joins need not be among the members that are named: it is not one of them yet. */
function withSelf(
  members: Readonly<Record<string, string>>,
  name: string,
  address: string,
): Readonly<Record<string, string>> {
  if (Object.hasOwn(members, name) || address === '') return members;
  return { ...members, [name]: address };
}

/** What no field can be blamed for alone. Fields that are wrong in themselves are left out. */
function crossCheck(
  draft: Draft,
  given: ReadonlyMap<FieldName, Given>,
  problems: ConfigProblem[],
): void {
  const add = (field: FieldName, problem: string) => {
    const where = given.get(field)?.where ?? `--${FIELDS[field].flag}`;
    problems.push({ where, problem });
  };
  const isWrong = (field: FieldName) => given.has(field) && given.get(field)?.value === undefined;
  const names = Object.keys(draft.members);
  if (draft.name !== '' && names.length > 0 && !Object.hasOwn(draft.members, draft.name)) {
    const meant = didYouMean(nearest(draft.name, names));
    add('name', `${draft.name} is not one of the members ${names.join(', ')}${meant}`);
  }
  if (draft.join && names.length === 0 && !isWrong('members')) {
    add('join', `needs to know where others reach ${draft.name}: give --advertise or --members`);
  }
  const isPaceKnown = !isWrong('heartbeatMs') && !isWrong('electionTimeoutMs');
  if (isPaceKnown && draft.heartbeatMs * 3 > draft.electionTimeoutMs) {
    add(
      'heartbeatMs',
      `the heartbeat, ${draft.heartbeatMs} ms, must be at most a third of the election timeout, ${draft.electionTimeoutMs} ms`,
    );
  }
  for (const [name, address] of Object.entries(draft.members)) {
    const problem = unreachableAddress(address);
    if (problem !== null) add('members', `${name}: ${problem}`);
  }
  for (const [name, address] of Object.entries(draft.routes)) {
    if (parsedPort(address) === 0) add('routes', `${name}: ${address} cannot be dialled: port 0`);
  }
  if (isWrong('advertise') || draft.advertise === (draft.members[draft.name] ?? '')) return;
  const problem = unreachableAddress(draft.advertise);
  if (problem !== null) add('advertise', problem);
}

/** `null`: it is no address, which has been said. */
function parsedPort(text: string): number | null {
  const parsed = parseAddress(text);
  return parsed.ok ? parsed.address.port : null;
}

/** Why others could not connect to the address; `null` when they could. */
function unreachableAddress(text: string): string | null {
  const parsed = parseAddress(text);
  if (!parsed.ok) return parsed.problem;
  if (parsed.address.port === 0) return `${text} is told to others, so its port cannot be 0`;
  if (!isWildcardHost(parsed.address.host)) return null;
  return `${text} is told to others, who cannot connect to it; use it with --listen only`;
}

function listEntries(
  config: ServerConfig,
  given: ReadonlyMap<FieldName, Given>,
  file: ConfigFile | null,
): ConfigEntry[] {
  const fields = FIELD_NAMES.map((field): ConfigEntry => {
    return { field, value: config[field], source: given.get(field)?.source ?? 'default' };
  });
  const fileLimits = file?.content.limits;
  const limits = LIMIT_NAMES.map((name): ConfigEntry => {
    const isGiven = isRecord(fileLimits) && Object.hasOwn(fileLimits, name);
    const source = isGiven && file !== null ? file.path : 'default';
    return { field: `limits.${name}`, value: config.limits[name], source };
  });
  return [...fields, ...limits];
}
