import { readFileSync } from 'node:fs';
import { BalsaError } from '../base/errors.js';
import { faultText, findFault } from '../base/json-text.js';
import { nearest } from '../base/suggest.js';
import { didYouMean, FIELD_NAMES, FIELDS, isFieldName } from './config-fields.js';

export interface ConfigProblem {
  /** The flag, the variable, or the file and the field. */
  readonly where: string;
  readonly problem: string;
}

/** A configuration file whose field names are checked, its values not yet. */
export interface ConfigFile {
  readonly path: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/**
 * Reads the file at `path`; unknown fields are added to `problems`.
 *
 * @throws BalsaError `FILE_UNREADABLE`; `CONFIG_INVALID` when it is not one JSON object
 */
export function readConfigFile(
  path: string,
  problems: ConfigProblem[],
  readFile: (path: string) => string = (name) => readFileSync(name, 'utf8'),
): ConfigFile {
  const content = parseJsonObject(path, readText(path, readFile));
  for (const name of Object.keys(content)) {
    if (isFieldName(name) || name === 'limits' || name === '$schema') continue;
    problems.push({
      where: `${path}: ${name}`,
      problem: `is not a known field${didYouMean(meantField(name))}`,
    });
  }
  return { path, content };
}

function readText(path: string, readFile: (path: string) => string): string {
  try {
    return readFile(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BalsaError('FILE_UNREADABLE', `configuration file ${path}: ${reason}`, {
      cause,
      details: { file: path },
    });
  }
}

function parseJsonObject(path: string, text: string): Record<string, unknown> {
  const json = text.replace(/^\uFEFF/, '');
  let content: unknown;
  try {
    content = JSON.parse(json);
  } catch (cause) {
    const fault = findFault(json);
    const problem = fault === null ? (cause as Error).message : faultText(json, fault);
    throw configInvalid([{ where: path, problem: `is not JSON: ${problem}` }]);
  }
  if (isRecord(content)) return content;
  throw configInvalid([{ where: path, problem: 'must hold one JSON object' }]);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The field that was meant: fields go by the names of the file, but people know the flags. */
function meantField(name: string): string | null {
  const flat = (text: string) => text.replaceAll(/[-_]/g, '').toLowerCase();
  const byFlag = FIELD_NAMES.find((field) => flat(FIELDS[field].flag) === flat(name));
  return byFlag ?? nearest(name, [...FIELD_NAMES, 'limits']);
}

/** One error for all that is wrong. */
export function configInvalid(problems: readonly ConfigProblem[]): BalsaError {
  const lines = problems.map(({ where, problem }) => `${where}: ${problem}`);
  const [first = ''] = lines;
  const message = lines.length === 1 ? first : [`${lines.length} problems`, ...lines].join('\n  ');
  return new BalsaError('CONFIG_INVALID', message, { details: { problems } });
}
