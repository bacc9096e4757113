import { Cell, checkCellKey, checkCellWrite } from '../base/cell.js';
import { CELL_NESTING_MAX, canonicalJson } from '../base/cell-values.js';
import { CELL_TYPES, type CellChange, type CellType, type CellWrite } from '../base/delta.js';
import { asBalsaError, BalsaError, type ErrorCode } from '../base/errors.js';

/** What a procedure does with a cell, as the sandbox tells it: nothing of it is checked yet. */
export interface CellRequest {
  readonly cell: string;
  readonly key: string;
  /** `view`, `rights`, `has`, `get`, or the type of a change. */
  readonly action: string;
  /** JSON. */
  readonly operands: readonly string[];
}

export interface CellHost {
  /** As it is to be seen by the call; counts. */
  read(key: string): Uint8Array | null;
  /** @throws BalsaError if it may not be */
  countWrite(bytes: number): void;
  /** Nothing can come of the call any more. */
  fail(error: BalsaError): BalsaError;
}

type WithoutObserved<Change> = Change extends unknown ? Omit<Change, 'observed'> : never;

/** A change, but for what its maker has seen. */
type Draft = WithoutObserved<CellChange>;

/** Of a change beside its texts, roughly. */
const CHANGE_BYTES = 16;

/** What a call does is behind all that it sees. */
const NOW = { timeMs: Number.MAX_SAFE_INTEGER, count: 0, call: '' };

/** Cells as one call sees them, with its own changes over them, which it keeps. */
export class CellView {
  readonly #origin: string;
  readonly #bytesMax: number;
  readonly #host: CellHost;
  /** What was read, and what has become of it; `null`: nothing is there. */
  readonly #cells = new Map<string, Cell | null>();
  readonly #writes: CellWrite[] = [];

  /** @param bytesMax of a cell, beyond which nothing is added to it */
  constructor(origin: string, bytesMax: number, host: CellHost) {
    this.#origin = origin;
    this.#bytesMax = bytesMax;
    this.#host = host;
  }

  get writes(): readonly CellWrite[] {
    return this.#writes;
  }

  /** @returns JSON @throws BalsaError: nothing can come of the call any more */
  perform(request: CellRequest): string {
    try {
      return this.#perform(request);
    } catch (cause) {
      throw this.#host.fail(asBalsaError(cause));
    }
  }

  // -------------------------------------------------------------------------------------------

  #perform({ cell: type, key, action, operands }: CellRequest): string {
    if (!isCellType(type)) {
      throw refusal('INVALID_ARGUMENT', `${type} is no type of cells: ${CELL_TYPES.join(', ')}`);
    }
    checkCellKey(key);
    // They are not even looked at: reading them may take more memory than there is.
    if (operands.some((text) => text.length > this.#bytesMax)) throw this.#full(key);
    const [first = 'null'] = operands;
    switch (`${type}.${action}`) {
      case `${type}.view`:
        return this.#cellAt(type, key).view();
      case 'escrow.rights':
        return String(this.#cellAt(type, key).rightsOf(this.#origin));
      case 'set.has':
        return String(this.#cellAt(type, key).tagsOf(first).length > 0);
      case 'map.get':
        return this.#cellAt(type, key).fieldOf(textIn(first)) ?? 'null';
      default:
        return String(this.#change(key, draftOf(type, action, operands)));
    }
  }

  /** @returns false: there are no rights for it */
  #change(key: string, draft: Draft): boolean {
    const cell = this.#cellAt(draft.cell, key);
    const change = { ...draft, ...this.#observed(cell, draft) } as CellChange;
    checkCellWrite({ key, change });
    const { cell: type } = change;
    if (type === 'escrow' && change.type === 'take' && change.by > cell.rightsOf(this.#origin)) {
      // It is as if it had not been tried, but for what the mode forbids.
      this.#host.countWrite(0);
      return false;
    }
    this.#host.countWrite(bytesOf(key, change));
    // Who removes what is not there changes nothing.
    if (change.type === 'remove' && change.observed.length === 0) return true;
    const bytesBefore = cell.bytes;
    cell.apply(change, { origin: this.#origin, place: this.#writes.length, ...NOW }, null);
    if (cell.bytes > bytesBefore && cell.bytes > this.#bytesMax) throw this.#full(key);
    this.#cells.set(key, cell);
    this.#writes.push({ key, change });
    return true;
  }

  #observed(cell: Cell, draft: Draft): object {
    if (draft.cell === 'set') return { observed: cell.tagsOf(draft.item) };
    if (draft.cell === 'map') return { observed: cell.tagsOf(draft.field) };
    return draft.cell === 'multi-value' ? { observed: cell.tagsOf('') } : {};
  }

  #cellAt(type: CellType, key: string): Cell {
    let cell = this.#cells.get(key);
    if (cell === undefined) {
      cell = this.#read(key);
      this.#cells.set(key, cell);
    }
    if (cell === null) return Cell.empty(type);
    if (cell.type === type) return cell;
    const message = `${key} is a cell of type ${cell.type}, not ${type}`;
    throw refusal('INVALID_ARGUMENT', message);
  }

  #read(key: string): Cell | null {
    const bytes = this.#host.read(key);
    if (bytes === null) return null;
    const cell = Cell.decode(bytes);
    if (cell !== null) return cell;
    throw refusal('VALUE_NOT_DECODABLE', `${JSON.stringify(key)} is no cell`);
  }

  #full(key: string): BalsaError {
    const max = this.#bytesMax;
    return new BalsaError('CELL_FULL', `the cell ${key} has no more room (cellBytesMax, ${max})`, {
      outcome: 'not-applied',
      details: { limit: 'cellBytesMax', max, key },
    });
  }
}

function draftOf(
  cell: CellType,
  action: string,
  [first = 'null', second = 'null']: readonly string[],
): Draft {
  switch (`${cell}.${action}`) {
    case 'counter.add':
      return { cell: 'counter', type: 'add', by: numberIn(first) };
    case 'escrow.add':
      return { cell: 'escrow', type: 'add', by: numberIn(first) };
    case 'escrow.take':
      return { cell: 'escrow', type: 'take', by: numberIn(first) };
    case 'set.add':
      return { cell: 'set', type: 'add', item: jsonIn(first) };
    case 'set.remove':
      return { cell: 'set', type: 'remove', item: jsonIn(first) };
    case 'map.put':
      return { cell: 'map', type: 'put', field: textIn(first), value: jsonIn(second) };
    case 'map.remove':
      return { cell: 'map', type: 'remove', field: textIn(first) };
    case 'register.set':
      return { cell: 'register', type: 'set', value: jsonIn(first) };
    case 'multi-value.set':
      return { cell: 'multi-value', type: 'set', value: jsonIn(first) };
    case 'log.append':
      return { cell: 'log', type: 'append', value: jsonIn(first) };
    default:
      throw refusal('INVALID_ARGUMENT', `a cell of type ${cell} has no ${action}`);
  }
}

function isCellType(type: string): type is CellType {
  return (CELL_TYPES as readonly string[]).includes(type);
}

function numberIn(json: string): number {
  const value: unknown = JSON.parse(json);
  if (typeof value === 'number') return value;
  throw refusal('INVALID_ARGUMENT', `by must be a whole number, found ${json.slice(0, 100)}`);
}

function textIn(json: string): string {
  const value: unknown = JSON.parse(json);
  if (typeof value === 'string') return value;
  throw refusal('INVALID_ARGUMENT', `a field must be a string, found ${json.slice(0, 100)}`);
}

function jsonIn(json: string): string {
  const text = canonicalJson(json);
  if (text !== null) return text;
  throw refusal('INVALID_ARGUMENT', `a value is nested deeper than ${CELL_NESTING_MAX}`);
}

function bytesOf(key: string, change: CellChange): number {
  let bytes = CHANGE_BYTES + Buffer.byteLength(key);
  if ('item' in change) bytes += Buffer.byteLength(change.item);
  if ('field' in change) bytes += Buffer.byteLength(change.field);
  if ('value' in change) bytes += Buffer.byteLength(change.value);
  if ('observed' in change) for (const tag of change.observed) bytes += tag.length;
  return bytes;
}

function refusal(code: ErrorCode, message: string): BalsaError {
  return new BalsaError(code, message, { outcome: 'not-applied' });
}
