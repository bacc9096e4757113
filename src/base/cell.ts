import { toBuffer } from './bytes.js';
import { CALL_KEY_BYTES_MAX } from './call.js';
import {
  LogState,
  MapState,
  MultiValueState,
  RegisterState,
  SetState,
} from './cell-collections.js';
import { CounterState, EscrowState } from './cell-numbers.js';
import { CELL_NESTING_MAX, canonicalJson, fieldsOf, parseTag } from './cell-values.js';
import {
  CELL_PREFIX,
  CELL_TYPES,
  type CellChange,
  type CellType,
  type CellWrite,
  type ChangeStamp,
  type ChangeTag,
  ORIGIN_LENGTH,
} from './delta.js';
import { BalsaError } from './errors.js';
import { LIMITS } from './limits.js';

/** Who takes part in what a change means when it is merged. `null` in its place: it is pending here, not merged. */
export interface MergeContext {
  /** In order: those among which new escrow rights are split. */
  readonly origins: readonly string[];
}

type State =
  | CounterState
  | EscrowState
  | SetState
  | MapState
  | RegisterState
  | MultiValueState
  | LogState;

/**
 * A value that changes made at several places at once can be put into in any order that keeps causes before what they caused:
 * it is the same in the end. So a change is applied only where all that its call had seen is applied, and what it has `observed`
 * is there, or was removed already: nothing is kept of what was removed.
 */
export class Cell {
  readonly #state: State;

  private constructor(state: State) {
    this.#state = state;
  }

  static empty(type: CellType): Cell {
    return new Cell(emptyState(type));
  }

  /** @returns null: that is no cell */
  static decode(bytes: Uint8Array): Cell | null {
    try {
      return new Cell(stateFrom(fieldsOf(JSON.parse(utf8.decode(toBuffer(bytes))))));
    } catch {
      return null;
    }
  }

  get type(): CellType {
    return this.#state.type;
  }

  /** Of {@link Cell.encode}, roughly and cheaply, for limits. */
  get bytes(): number {
    return this.#state.bytes;
  }

  /**
   * Applies one change.
   * @returns false: it has no effect, being of another type of cell, or without the rights for it (escrow)
   */
  apply(change: CellChange, stamp: ChangeStamp, merge: MergeContext | null): boolean {
    const state = this.#state;
    if (change.cell === 'escrow') {
      return state.type === 'escrow' && state.apply(change, stamp, merge?.origins ?? null);
    }
    if (change.cell === 'counter') return state.type === 'counter' && state.apply(change);
    if (change.cell === 'set') return state.type === 'set' && state.apply(change, stamp);
    if (change.cell === 'map') return state.type === 'map' && state.apply(change, stamp);
    if (change.cell === 'log') return state.type === 'log' && state.apply(change, stamp);
    if (change.cell === 'register') return state.type === 'register' && state.apply(change, stamp);
    return state.type === 'multi-value' && state.apply(change, stamp);
  }

  /** JSON. Equal states have equal bytes, whatever the order of concurrent changes was. */
  encode(): Buffer {
    return Buffer.from(this.#state.text());
  }

  /** A copy, which changes on its own. */
  clone(): Cell {
    return new Cell(this.#state.clone());
  }

  /**
   * What a procedure gets of it, as JSON: the number of a counter or of an escrow counter (beyond 2^53 the nearest one that there
   * is), the items of a set in order, the fields of a map, the value of a register (`null`: none), the values of a multi-value
   * register and the entries of a log from the first one on.
   */
  view(): string {
    return this.#state.view();
  }

  /**
   * Of what it holds of an item (JSON) or of a field, or of the whole (of a multi-value register; `part` does not matter), for
   * `observed`.
   */
  tagsOf(part: string): readonly ChangeTag[] {
    const state = this.#state;
    const hasTags = state.type === 'set' || state.type === 'map' || state.type === 'multi-value';
    return hasTags ? state.tagsOf(part) : [];
  }

  /** Map: what one field holds, JSON; `null`: nothing. */
  fieldOf(field: string): string | null {
    return this.#state.type === 'map' ? this.#state.fieldOf(field) : null;
  }

  /** Escrow: what one origin may take. */
  rightsOf(origin: string): number {
    return this.#state.type === 'escrow' ? this.#state.rightsOf(origin) : 0;
  }
}

/** Refuses what is not UTF-8. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function emptyState(type: CellType): State {
  switch (type) {
    case 'counter':
      return new CounterState();
    case 'escrow':
      return new EscrowState();
    case 'set':
      return new SetState();
    case 'map':
      return new MapState();
    case 'register':
      return new RegisterState();
    case 'multi-value':
      return new MultiValueState();
    case 'log':
      return new LogState();
  }
}

/** @throws whatever it does not like */
function stateFrom(json: Readonly<Record<string, unknown>>): State {
  switch (json.type) {
    case 'counter':
      return CounterState.from(json);
    case 'escrow':
      return EscrowState.from(json);
    case 'set':
      return SetState.from(json);
    case 'map':
      return MapState.from(json);
    case 'register':
      return RegisterState.from(json);
    case 'multi-value':
      return MultiValueState.from(json);
    case 'log':
      return LogState.from(json);
    default:
      throw new TypeError('no type of cells');
  }
}

// ---------------------------------------------------------------------------------------------
// What may be written

/** Of an item, a field or a value, wherever it is: what a cell may have in all is decided at the call (`cellBytesMax`). */
const PART_BYTES_MAX = 4 * 1024 * 1024;

const KEY_BYTES_MAX = LIMITS.keyBytesMax - Buffer.byteLength(CELL_PREFIX);

/** Tags that one change may name. A cell of the largest size has fewer, but for what is merged of many places at once. */
const OBSERVED_MAX = 65_536;

/** In them there is a character that is half of one, and stands for no bytes. */
const HALF_CHARACTER = /\p{Surrogate}/u;

const ORIGIN = new RegExp(`^[0-9a-f]{${ORIGIN_LENGTH}}$`);

/** Characters of the name of a call, which is its key. */
const CALL_NAME_MAX = Math.ceil((CALL_KEY_BYTES_MAX * 4) / 3);

/** As `callNameOf` gives it, in all versions; empty: the call itself. */
const CALL = new RegExp(
  `^(?:|[\\w-]{1,${CALL_NAME_MAX}}|[0-9a-f]{${ORIGIN_LENGTH}}:(?:0|[1-9]\\d{0,15}))$`,
);

/** Which changes each type of cell has. */
const CHANGES: Readonly<Record<CellType, readonly string[]>> = {
  counter: ['add'],
  escrow: ['add', 'take', 'give'],
  set: ['add', 'remove'],
  map: ['put', 'remove'],
  register: ['set'],
  'multi-value': ['set'],
  log: ['append'],
};

/**
 * What gets into the log cannot be refused any more.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function checkCellWrite({ key, change }: CellWrite): void {
  checkCellKey(key);
  if (!CELL_TYPES.includes(change.cell) || !CHANGES[change.cell].includes(change.type)) {
    throw invalid(`unknown change of a cell: ${String(change.cell)}, ${String(change.type)}`);
  }
  if ('by' in change) checkAmount(change.by, change.cell === 'escrow' ? 1 : -Infinity);
  if ('to' in change && !ORIGIN.test(change.to)) throw invalid(`${change.to} is no origin`);
  if ('field' in change) checkField(change.field);
  if ('item' in change) checkJson('item', change.item);
  if ('value' in change) checkJson('value', change.value);
  if ('observed' in change) checkObserved(change.observed);
}

/** Where the merged cell lies. */
export function cellKey(key: string): Buffer {
  return Buffer.from(CELL_PREFIX + key);
}

/**
 * The key of a cell, as the author of a procedure names it.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function checkCellKey(key: string): void {
  checkText('the key of a cell', key);
  if (key.includes('\0')) throw invalid('the key of a cell may not have the character 0');
  const bytes = Buffer.byteLength(key);
  if (bytes === 0 || bytes > KEY_BYTES_MAX) {
    throw invalid(`the key of a cell has ${bytes} bytes, expected 1 to ${KEY_BYTES_MAX}`);
  }
}

function checkAmount(by: number, min: number): void {
  if (!Number.isSafeInteger(by) || Object.is(by, -0)) {
    throw invalid(`by must be a whole number that can be told exactly, found ${String(by)}`);
  }
  if (by < min) throw invalid(`by must be ${min} or more, found ${by}`);
}

function checkField(field: string): void {
  checkText('the field of a map', field);
  checkSize('field', field);
}

function checkJson(what: string, text: string): void {
  checkText(what, text);
  checkSize(what, text);
  if (canonicalJson(text) === null) {
    throw invalid(`${what} is no JSON, or nested deeper than ${CELL_NESTING_MAX}`);
  }
}

function checkObserved(observed: readonly ChangeTag[]): void {
  if (observed.length > OBSERVED_MAX) {
    throw invalid(`${observed.length} changes observed; the limit is ${OBSERVED_MAX}`);
  }
  for (const tag of observed) {
    const parts = parseTag(tag);
    if (parts === null || !CALL.test(parts.call)) {
      throw invalid(`${JSON.stringify(tag)} names no change`);
    }
  }
}

function checkText(what: string, text: string): void {
  if (typeof text !== 'string') throw invalid(`${what} must be a text, found ${typeof text}`);
  if (HALF_CHARACTER.test(text)) throw invalid(`${what} has a character that is half of one`);
}

function checkSize(what: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > PART_BYTES_MAX) {
    throw invalid(`${what} has ${bytes} bytes; the limit is ${PART_BYTES_MAX}`);
  }
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
}
