import { compareBytes, successor } from '../base/bytes.js';
import {
  type Effects,
  type EmittedEvent,
  EVENT_PREFIX,
  type KeyDefault,
  type KeyRead,
  type KeyUpdate,
  type KeyWrite,
  pendingPlace,
  type RangeRead,
} from '../base/call.js';
import { cellKey } from '../base/cell.js';
import { cutNaming, cutText } from '../base/cut-text.js';
import { CELL_PREFIX } from '../base/delta.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { Mode } from '../base/operation.js';
import { checkKey } from '../base/operation-check.js';
import { type CellRequest, CellView } from './cell-view.js';
import type { CallLimits, ScanAnswer, ScanQuery, Source, StoredKey } from './execution.js';

/** What a procedure reads of a key: its JSON, or nothing. */
export type Found = string | null;

export interface ScanOptions {
  readonly from: Uint8Array;
  /** `null`: to the end. */
  readonly to: Uint8Array | null;
  readonly limit: number;
}

/** What a scan asks the store for at a time: the replica does nothing else meanwhile. */
const SCAN_KEYS = 500;
const SCAN_BYTES = 128 * 1024;

const NO_BYTES = new Uint8Array(0);

/** In them there is a character that is half of one, and stands for no bytes. */
const HALF_CHARACTER = /\p{Surrogate}/u;
/** Refuses what is not UTF-8. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The store as one call sees it: as of one revision, with its own writes over it. It keeps what was read,
 * so that it can be seen later whether all of it still holds, and what is to be written. Once a limit was
 * reached or the call has aborted, nothing else can come of it, whatever the procedure does about that.
 */
export class CallView {
  readonly #source: Source;
  readonly #limits: CallLimits;
  readonly #mode: Mode;
  readonly #cells: CellView;
  readonly #reads = new Map<string, KeyRead & { value: Found }>();
  readonly #ranges: RangeRead[] = [];
  readonly #writes = new Map<string, KeyWrite>();
  readonly #updates: (KeyUpdate | KeyDefault)[] = [];
  readonly #events: EmittedEvent[] = [];
  readonly #logs: string[] = [];
  #readCount = 0;
  #readBytes = 0;
  #writeCount = 0;
  #writeBytes = 0;
  #failure: BalsaError | null = null;

  /**
   * @param mode of the procedure that was called: what may be written
   * @param origin whose escrow rights are taken
   */
  constructor(source: Source, limits: CallLimits, mode: Mode, origin = '') {
    this.#source = source;
    this.#limits = limits;
    this.#mode = mode;
    this.#cells = new CellView(origin, limits.cellBytesMax, {
      read: (key) => this.#readCell(key),
      countWrite: (bytes) => this.#countCellWrite(bytes),
      fail: (error) => this.fail(error),
    });
  }

  /** Why nothing can come of the call any more; `null`: it goes on. */
  get failure(): BalsaError | null {
    return this.#failure;
  }

  /** Of the procedure that was called. */
  get mode(): Mode {
    return this.#mode;
  }

  get logs(): readonly string[] {
    return this.#logs;
  }

  /** @throws BalsaError `PROCEDURE_LIMIT`, `KEY_EMPTY` */
  get(key: string): Found {
    const written = this.#writes.get(key);
    if (written !== undefined) return this.#valueOf(written);
    this.#refuseUpdated(key);
    return this.#read(key).value;
  }

  /** @throws BalsaError `PROCEDURE_LIMIT`, `PROCEDURE_READ_ONLY`, `KEY_EMPTY` */
  put(key: string, value: string): void {
    this.#write(key, Buffer.from(value));
  }

  /** @throws BalsaError as {@link CallView.put} */
  delete(key: string): void {
    this.#write(key, null);
  }

  /** @throws BalsaError as {@link CallView.put} */
  add(type: KeyUpdate['type'], key: string, by: number): void {
    if (!Number.isFinite(by)) throw invalid(`ctx.${type} of ${key}: by must be a finite number`);
    this.#update({ type, key: keyBytes(key), by }, key, 8);
  }

  /** @throws BalsaError as {@link CallView.put} */
  setIfAbsent(key: string, json: string): void {
    const value = Buffer.from(json);
    this.#update({ type: 'set-if-absent', key: keyBytes(key), value }, key, value.byteLength);
  }

  /** @throws BalsaError as {@link CallView.put} */
  emit(name: string, payload: string): void {
    if (name === '' || name.includes('/'))
      throw invalid('the name of an event is not empty and has no /');
    keyBytes(`${EVENT_PREFIX}${name}/${LIMITS.keyBytesMax}`);
    this.#countWrite(Buffer.byteLength(name) + Buffer.byteLength(payload));
    this.#events.push({ name, payload });
  }

  /**
   * What a cell holds, or a change of it.
   * @returns JSON
   * @throws BalsaError `PROCEDURE_LIMIT`, `PROCEDURE_READ_ONLY`, `INVALID_ARGUMENT`, `CELL_FULL`, `VALUE_NOT_DECODABLE`
   */
  cell(request: CellRequest): string {
    return this.#cells.perform(request);
  }

  /**
   * Of a task of a job; of another call it is nobody's.
   * @throws BalsaError `PROCEDURE_LIMIT`
   */
  checkpoint(json: string): void {
    const { checkpointBytesMax } = this.#limits;
    if (Buffer.byteLength(json) > checkpointBytesMax) {
      throw this.fail(limitReached('checkpointBytesMax', checkpointBytesMax));
    }
    this.#source.checkpoint?.(json);
  }

  /** Beyond the limits it is dropped or cut: a log is no reason to fail. */
  log(line: string): void {
    const { logLinesMax, logLineBytesMax } = this.#limits;
    if (this.#logs.length >= logLinesMax) return;
    const isLast = this.#logs.length === logLinesMax - 1;
    const told = `… (logLinesMax is ${logLinesMax})`;
    this.#logs.push(isLast ? told : cutText(line, logLineBytesMax));
  }

  /** @throws BalsaError `PROCEDURE_ABORTED` */
  abort(reason: string): never {
    throw this.fail(new BalsaError('PROCEDURE_ABORTED', reason, { outcome: 'not-applied' }));
  }

  /**
   * The keys of a range with what they hold, the own writes among them.
   * @throws BalsaError `PROCEDURE_LIMIT`, `INVALID_ARGUMENT`
   */
  scan({ from, to, limit }: ScanOptions): (readonly [key: string, value: string])[] {
    const taken: (readonly [string, string])[] = [];
    if (limit === 0 || (to !== null && compareBytes(from, to) >= 0)) return taken;
    this.#refuseUpdatedIn(from, to);
    const own = this.#writesBetween(from, to);
    const range = new RangeReader((query) => this.#scan(query), from, to);
    let next = 0;
    let last: Uint8Array | null = null;
    let isWhole = false;
    try {
      while (taken.length < limit) {
        // Each own write may take the place of a stored key.
        const stored = range.peek(limit - taken.length + own.length - next);
        const write = own[next];
        if (stored === null && write === undefined) {
          isWhole = true;
          break;
        }
        const order = orderOf(stored, write);
        if (order <= 0) range.take();
        if (order >= 0) next += 1;
        // The own write is in the place of what is stored.
        const { key, value } = (order < 0 ? stored : write) as KeyWrite;
        last = key;
        if (value !== null) taken.push([this.#text(key, key), this.#text(value, key)]);
      }
    } finally {
      // What the call fails of must hold, too.
      if (isWhole || last !== null) this.#ranges.push(range.readThrough(isWhole ? null : last));
    }
    return taken;
  }

  /** Nothing can come of the call any more. */
  fail(error: BalsaError): BalsaError {
    const told = cutError(error, this.#limits);
    this.#failure ??= told;
    return told;
  }

  effects(): Effects {
    return {
      reads: [...this.#reads.values()].map(({ key, modRevision }) => ({ key, modRevision })),
      ranges: this.#ranges,
      writes: [...this.#writes.values()],
      updates: this.#updates,
      events: this.#events,
      cells: this.#cells.writes,
    };
  }

  // -------------------------------------------------------------------------------------------

  #read(key: string): KeyRead & { value: Found } {
    let read = this.#reads.get(key);
    if (read === undefined) {
      const bytes = keyBytes(key);
      const found = this.#ask(() => this.#source.get(bytes));
      read = { key: bytes, modRevision: found?.modRevision ?? 0, value: null };
      // Before anything can be wrong with it: what the call fails of must hold, too.
      this.#reads.set(key, read);
      this.#countReads([{ key: bytes, value: found?.value ?? NO_BYTES }]);
      read.value = found === null ? null : this.#valueOf(found);
    }
    return read;
  }

  #write(key: string, value: Buffer | null): void {
    this.#refuseUpdated(key);
    refuseCell(key);
    const bytes = keyBytes(key);
    this.#countWrite(bytes.byteLength + (value?.byteLength ?? 0));
    this.#writes.set(key, { key: bytes, value });
  }

  #update(update: KeyUpdate | KeyDefault, key: string, bytes: number): void {
    refuseCell(key);
    if (this.#writes.has(key)) {
      throw invalid(`${key} was written in this call: ctx.${update.type} of it would be lost`);
    }
    this.#countWrite(update.key.byteLength + bytes);
    this.#updates.push(update);
  }

  /** What an update leads to is not known here. */
  #refuseUpdated(key: string): void {
    if (this.#updates.length === 0) return;
    const bytes = Buffer.from(key);
    if (this.#updates.some((one) => bytes.equals(one.key))) throw updated(key);
  }

  #refuseUpdatedIn(from: Uint8Array, to: Uint8Array | null): void {
    const update = this.#updates.find(({ key }) => isBetween(key, from, to));
    if (update !== undefined) throw updated(Buffer.from(update.key).toString());
  }

  #writesBetween(from: Uint8Array, to: Uint8Array | null): KeyWrite[] {
    const inside = [...this.#writes.values()].filter(({ key }) => isBetween(key, from, to));
    return inside.sort((a, b) => compareBytes(a.key, b.key));
  }

  /** Where it must still hold when the call is applied, the merged cell is read as any key. */
  #readCell(key: string): Uint8Array | null {
    if (this.#mode !== 'ap') {
      const { value } = this.#read(CELL_PREFIX + key);
      return value === null ? null : Buffer.from(value);
    }
    const found = this.#ask(() => this.#source.cell(key));
    this.#countReads([{ key: cellKey(key), value: found ?? NO_BYTES }]);
    return found;
  }

  /** A store that cannot answer is no matter of the procedure: its caller is told. */
  #ask<T>(ask: () => T): T {
    try {
      return ask();
    } catch (cause) {
      throw this.fail(asBalsaError(cause));
    }
  }

  #scan(query: ScanQuery): ScanAnswer {
    const answer = this.#ask(() => this.#source.scan(query));
    this.#countReads(
      answer.items.length === 0 ? [{ key: query.from, value: NO_BYTES }] : answer.items,
    );
    return answer;
  }

  #countReads(items: readonly { readonly key: Uint8Array; readonly value: Uint8Array }[]): void {
    const { readsMax, readBytesMax } = this.#limits;
    this.#readCount += items.length;
    for (const { key, value } of items) this.#readBytes += key.byteLength + value.byteLength;
    if (this.#readCount > readsMax) throw this.fail(limitReached('readsMax', readsMax));
    if (this.#readBytes > readBytesMax) throw this.fail(limitReached('readBytesMax', readBytesMax));
  }

  #valueOf({ key, value }: KeyWrite): Found {
    return value === null ? null : this.#text(value, key);
  }

  /** Text has no byte 0 here: the sandbox would take it for the end. */
  #text(bytes: Uint8Array, key: Uint8Array): string {
    try {
      if (!bytes.includes(0)) return utf8.decode(bytes);
    } catch {
      // Said below.
    }
    const shown = JSON.stringify(Buffer.from(key).toString());
    throw this.fail(
      new BalsaError('VALUE_NOT_DECODABLE', `${shown} or its value is not UTF-8 text`, {
        outcome: 'not-applied',
      }),
    );
  }

  #countWrite(bytes: number): void {
    if (this.#mode === 'ap') throw this.#readOnly('an ap procedure writes cells only');
    if (this.#mode !== 'cp')
      throw this.#readOnly('a procedure declared with read() does not write');
    this.#countChange(bytes);
  }

  #countCellWrite(bytes: number): void {
    if (this.#mode !== 'ap') throw this.#readOnly('cells are written by ap procedures');
    this.#countChange(bytes);
  }

  #readOnly(message: string): BalsaError {
    return this.fail(new BalsaError('PROCEDURE_READ_ONLY', message, { outcome: 'not-applied' }));
  }

  #countChange(bytes: number): void {
    this.#writeCount += 1;
    this.#writeBytes += bytes;
    const { writesMax, writeBytesMax } = this.#limits;
    if (this.#writeCount > writesMax) throw this.fail(limitReached('writesMax', writesMax));
    if (this.#writeBytes > writeBytesMax) {
      throw this.fail(limitReached('writeBytesMax', writeBytesMax));
    }
  }
}

/** Reads a range page by page, and no further than it is asked to. */
class RangeReader {
  readonly #scan: Source['scan'];
  readonly #from: Uint8Array;
  readonly #to: Uint8Array | null;
  #page: readonly StoredKey[] = [];
  #at = 0;
  /** `null`: the end was reached. */
  #nextFrom: Uint8Array | null;
  #keys = 0;
  #modRevisionMax = 0;

  constructor(scan: Source['scan'], from: Uint8Array, to: Uint8Array | null) {
    this.#scan = scan;
    this.#from = from;
    this.#to = to;
    this.#nextFrom = from;
  }

  /** @param keysMax more than this will not be needed */
  peek(keysMax: number): StoredKey | null {
    while (this.#at >= this.#page.length && this.#nextFrom !== null) {
      const { items, more } = this.#scan({
        from: this.#nextFrom,
        to: this.#to,
        keysMax: Math.min(keysMax, SCAN_KEYS),
        bytesMax: SCAN_BYTES,
      });
      this.#page = items;
      this.#at = 0;
      const last = items.at(-1);
      this.#nextFrom = more && last !== undefined ? successor(last.key) : null;
    }
    return this.#page[this.#at] ?? null;
  }

  take(): void {
    const stored = this.#page[this.#at];
    if (stored === undefined) return;
    this.#at += 1;
    this.#keys += 1;
    // Whose writes of the same entry it has seen is noted elsewhere.
    if (pendingPlace(stored.modRevision) !== null) return;
    this.#modRevisionMax = Math.max(this.#modRevisionMax, stored.modRevision);
  }

  /** What was read, up to `key` (`null`: all): what lies behind does not matter to the call. */
  readThrough(key: Uint8Array | null): RangeRead {
    const to = key === null ? this.#to : successor(key);
    return { from: this.#from, to, keys: this.#keys, modRevisionMax: this.#modRevisionMax };
  }
}

function refuseCell(key: string): void {
  if (!key.startsWith(CELL_PREFIX)) return;
  throw invalid(
    `${key}: what begins with ${CELL_PREFIX} is written by ap procedures, with ctx.cell`,
  );
}

/** Which one is first; at least one is there. */
function orderOf(stored: StoredKey | null, write: KeyWrite | undefined): number {
  if (stored === null) return 1;
  return write === undefined ? -1 : compareBytes(stored.key, write.key);
}

function isBetween(key: Uint8Array, from: Uint8Array, to: Uint8Array | null): boolean {
  return compareBytes(key, from) >= 0 && (to === null || compareBytes(key, to) < 0);
}

function updated(key: string): BalsaError {
  return invalid(`${key} cannot be read or written behind ctx.add, max or setIfAbsent of it`);
}

/** @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `INVALID_ARGUMENT` */
function keyBytes(key: string): Buffer {
  checkText(key);
  const bytes = Buffer.from(key);
  checkKey(bytes, LIMITS);
  return bytes;
}

/** @throws BalsaError `INVALID_ARGUMENT`: there are no bytes for it, or the sandbox could not be told of them */
export function checkText(key: string): void {
  if (HALF_CHARACTER.test(key)) throw invalid('a key has a character that is half of one');
  if (key.includes('\0')) throw invalid('a key of a procedure may not have the character 0');
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
}

/** Whatever it says, it is kept by many: the log, the answer, and the lines of `balsa proc logs`. */
export function cutError(
  error: BalsaError,
  { errorBytesMax }: Pick<CallLimits, 'errorBytesMax'>,
): BalsaError {
  const { code, message, outcome, details, cause } = error;
  const told = cutNaming(message, errorBytesMax, 'errorBytesMax');
  return told === message ? error : new BalsaError(code, told, { outcome, details, cause });
}

/** The error of a call that has reached a limit. */
export function limitReached(limit: keyof CallLimits, max: number): BalsaError {
  return new BalsaError('PROCEDURE_LIMIT', `the procedure has reached ${limit} (${max})`, {
    outcome: 'not-applied',
    details: { limit, max },
  });
}
