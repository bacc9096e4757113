import { HistoryError } from './history-error.js';
import { type FaultRecord, type HistoryOperation, OPERATION_TYPES } from './operation.js';

type Fields = Record<string, unknown>;

/** What a field must be when it is there. */
interface Rule {
  readonly field: string;
  readonly isRequired: boolean;
  readonly is: (value: unknown) => boolean;
  readonly what: string;
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isNatural = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isFrom0 = (value: unknown): boolean =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0;
const TYPES = new Set<unknown>(OPERATION_TYPES);
const text = (field: string, isRequired = false): Rule => ({
  field,
  isRequired,
  is: isText,
  what: 'text',
});

const TIME: Rule = {
  field: 'time',
  isRequired: true,
  is: isFrom0,
  what: 'nanoseconds since the start of the run',
};

const OPERATION_RULES: readonly Rule[] = [
  { field: 'process', isRequired: true, is: isNatural, what: 'a whole number from 0' },
  {
    field: 'type',
    isRequired: true,
    is: (value) => TYPES.has(value),
    what: `one of ${OPERATION_TYPES.join(', ')}`,
  },
  text('f', true),
  text('key'),
  TIME,
  text('error'),
  { field: 'revision', isRequired: false, is: isNatural, what: 'a whole number from 0' },
  text('node'),
  text('level'),
  { field: 'stalenessMs', isRequired: false, is: isFrom0, what: 'milliseconds' },
  text('side'),
];

const FAULT_RULES: readonly Rule[] = [
  TIME,
  text('fault', true),
  {
    field: 'nodes',
    isRequired: true,
    is: (value) => Array.isArray(value) && value.every(isText),
    what: 'a list of names',
  },
  {
    field: 'phase',
    isRequired: true,
    is: (value) => value === 'begin' || value === 'end',
    what: '"begin" or "end"',
  },
];

/**
 * @param where `file:line`, for the error
 * @throws HistoryError
 */
export function parseOperation(line: string, where: string): HistoryOperation {
  return parseFields(line, where, OPERATION_RULES) as unknown as HistoryOperation;
}

/** @throws HistoryError */
export function parseFault(line: string, where: string): FaultRecord {
  return parseFields(line, where, FAULT_RULES) as unknown as FaultRecord;
}

function parseFields(line: string, where: string, rules: readonly Rule[]): Fields {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (error) {
    throw new HistoryError(where, `not a line of JSON (${(error as Error).message})`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new HistoryError(where, `expected an object, found ${shorten(line)}`);
  }
  const fields = parsed as Fields;
  for (const { field, isRequired, is, what } of rules) {
    const value = fields[field];
    if (value === undefined || value === null) {
      if (isRequired) throw new HistoryError(where, `"${field}" is missing; expected ${what}`);
      // Other tools write null for what is not there.
      if (value === null) delete fields[field];
    } else if (!is(value)) {
      const found = shorten(JSON.stringify(value));
      throw new HistoryError(where, `"${field}" must be ${what}, found ${found}`);
    }
  }
  return fields;
}

function shorten(found: string): string {
  return found.length > 80 ? `${found.slice(0, 80)}…` : found;
}
