import { compareBytes } from '../base/bytes.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type {
  CallLimits,
  Effects,
  EmittedEvent,
  KeyDefault,
  KeyRead,
  KeyUpdate,
  KeyWrite,
  RangeRead,
  Source,
  StoredKey,
} from './execution.js';

/** What a procedure reads of a key: its JSON, or nothing. */
export type Found = string | null;

export interface ScanOptions {
  readonly from: Uint8Array;
  /** `null`: to the end. */
  readonly to: Uint8Array | null;
  readonly limit: number;
}

/** Keys that a scan asks the store for at a time. */
const SCAN_KEYS = 500;

/**
 * The store as one call sees it: as of one revision, with its own writes over it. It keeps what was read,
 * so that it can be seen later whether all of it still holds, and what is to be written. Once a limit was
 * reached or the call has aborted, nothing else can come of it, whatever the procedure does about that.
 */
export class CallView {
  readonly #source: Source;
  readonly #limits: CallLimits;
  readonly #isWriter: boolean;
  readonly #reads = new Map<string, StoredKey | null>();
  readonly #ranges: RangeRead[] = [];
  readonly #writes = new Map<string, KeyWrite>();
  readonly #updates: (KeyUpdate | KeyDefault)[] = [];
  readonly #events: EmittedEvent[] = [];
  readonly #logs: string[] = [];
  #readCount = 0;
  #writeCount = 0;
  #writeBytes = 0;
  #failure: BalsaError | null = null;

  /** @param isWriter false: the mode of the procedure forbids writes */
  constructor(source: Source, limits: CallLimits, isWriter: boolean) {
    this.#source = source;
    this.#limits = limits;
    this.#isWriter = isWriter;
  }

  /** Why nothing can come of the call any more; `null`: it goes on. */
  get failure(): BalsaError | null {
    return this.#failure;
  }

  get logs(): readonly string[] {
    return this.#logs;
  }

  /** @throws BalsaError `PROCEDURE_LIMIT`, `KEY_EMPTY` */
  get(key: string): Found {
    const written = this.#writes.get(key);
    if (written !== undefined) return written.value === null ? null : toText(written.value);
    this.#refuseUpdated(key);
    let found = this.#reads.get(key);
    if (found === undefined) {
      this.#countReads(1);
      const bytes = keyBytes(key);
      found = this.#ask(() => this.#source.get(bytes));
      this.#reads.set(key, found);
    }
    return found === null ? null : toText(found.value);
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
    this.#countWrite(Buffer.byteLength(name) + Buffer.byteLength(payload));
    this.#events.push({ name, payload });
  }

  /** Beyond the limits it is dropped or cut: a log is no reason to fail. */
  log(line: string): void {
    const { logLinesMax, logLineBytesMax } = this.#limits;
    if (this.#logs.length >= logLinesMax) return;
    const isLast = this.#logs.length === logLinesMax - 1;
    const cut = line.length > logLineBytesMax ? `${line.slice(0, logLineBytesMax)}…` : line;
    this.#logs.push(isLast ? `… (logLinesMax is ${logLinesMax})` : cut);
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
    const range = new RangeReader((query) => this.#ask(() => this.#source.scan(query)), from, to);
    let next = 0;
    let last: Uint8Array | null = null;
    while (taken.length < limit) {
      const stored = range.peek((keys) => this.#countReads(keys));
      const write = own[next];
      if (stored === null && write === undefined) break;
      const order = orderOf(stored, write);
      if (order <= 0) range.take();
      if (order >= 0) next += 1;
      // The own write is in the place of what is stored.
      const { key, value } = (order < 0 ? stored : write) as KeyWrite;
      if (value !== null) taken.push([toText(key), toText(value)]);
      last = key;
    }
    this.#ranges.push(range.readThrough(last));
    return taken;
  }

  /** Nothing can come of the call any more. */
  fail(error: BalsaError): BalsaError {
    this.#failure ??= error;
    return error;
  }

  effects(): Effects {
    const reads: KeyRead[] = [];
    for (const [key, found] of this.#reads) {
      reads.push({ key: Buffer.from(key), modRevision: found?.modRevision ?? 0 });
    }
    return {
      reads,
      ranges: this.#ranges,
      writes: [...this.#writes.values()],
      updates: this.#updates,
      events: this.#events,
    };
  }

  // -------------------------------------------------------------------------------------------

  #write(key: string, value: Buffer | null): void {
    this.#refuseUpdated(key);
    const bytes = keyBytes(key);
    this.#countWrite(bytes.byteLength + (value?.byteLength ?? 0));
    this.#writes.set(key, { key: bytes, value });
  }

  #update(update: KeyUpdate | KeyDefault, key: string, bytes: number): void {
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
    if (update !== undefined) throw updated(toText(update.key));
  }

  #writesBetween(from: Uint8Array, to: Uint8Array | null): KeyWrite[] {
    const inside = [...this.#writes.values()].filter(({ key }) => isBetween(key, from, to));
    return inside.sort((a, b) => compareBytes(a.key, b.key));
  }

  /** A store that cannot answer is no matter of the procedure: its caller is told. */
  #ask<T>(ask: () => T): T {
    try {
      return ask();
    } catch (cause) {
      throw this.fail(asBalsaError(cause));
    }
  }

  #countReads(keys: number): void {
    this.#readCount += keys;
    if (this.#readCount > this.#limits.readsMax) {
      throw this.fail(limitReached('readsMax', this.#limits.readsMax));
    }
  }

  #countWrite(bytes: number): void {
    if (!this.#isWriter) {
      const message = 'a procedure declared with read() does not write';
      throw this.fail(new BalsaError('PROCEDURE_READ_ONLY', message, { outcome: 'not-applied' }));
    }
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
  #nextFrom: Uint8Array | null;
  #keys = 0;
  #modRevisionMax = 0;
  #isAtEnd = false;

  constructor(scan: Source['scan'], from: Uint8Array, to: Uint8Array | null) {
    this.#scan = scan;
    this.#from = from;
    this.#to = to;
    this.#nextFrom = from;
  }

  peek(onRead: (keys: number) => void): StoredKey | null {
    const here = this.#page[this.#at];
    if (here !== undefined) return here;
    if (this.#nextFrom === null) {
      this.#isAtEnd = true;
      return null;
    }
    const query = { from: this.#nextFrom, to: this.#to, keysMax: SCAN_KEYS };
    const { items, more } = this.#scan(query);
    onRead(Math.max(items.length, 1));
    this.#page = items;
    this.#at = 0;
    const last = items.at(-1);
    this.#nextFrom = more && last !== undefined ? behind(last.key) : null;
    return this.peek(onRead);
  }

  take(): void {
    const stored = this.#page[this.#at];
    if (stored === undefined) return;
    this.#at += 1;
    this.#keys += 1;
    this.#modRevisionMax = Math.max(this.#modRevisionMax, stored.modRevision);
  }

  /** What was read, up to `key`: what lies behind does not matter to the call. */
  readThrough(key: Uint8Array | null): RangeRead {
    const to = this.#isAtEnd ? this.#to : key === null ? this.#from : behind(key);
    return { from: this.#from, to, keys: this.#keys, modRevisionMax: this.#modRevisionMax };
  }
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

function behind(key: Uint8Array): Uint8Array {
  return Buffer.concat([key, Buffer.alloc(1)]);
}

function keyBytes(key: string): Buffer {
  if (key.length === 0) throw new BalsaError('KEY_EMPTY', 'a key must have at least one byte');
  return Buffer.from(key);
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
}

/** The error of a call that has reached a limit. */
export function limitReached(limit: keyof CallLimits, max: number): BalsaError {
  return new BalsaError('PROCEDURE_LIMIT', `the procedure has reached ${limit} (${max})`, {
    outcome: 'not-applied',
    details: { limit, max },
  });
}
