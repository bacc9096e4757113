import { prefixEnd, toBytes } from '../../../src/base/bytes.js';
import { BalsaError } from '../../../src/base/errors.js';
import type { Mode } from '../../../src/base/operation.js';
import type { CallView } from '../../../src/compute/call-view.js';
import {
  type Execution,
  failedExecution,
  type ProcedureCall,
  type ScanAnswer,
  type ScanQuery,
  type Source,
  type StoredKey,
  type StoreSource,
} from '../../../src/compute/execution.js';
import { runAp } from '../ap/ap-procedures.js';
import { runFollowUp } from '../follow-ups/follow-up-procedures.js';
import { runJobTask } from '../jobs/job-procedures.js';
import { isNative, NATIVE_PROCEDURES, type NativeContext, versionOf } from './native-procedures.js';
import { runInView } from './run-in-view.js';

/** A {@link CallView} as a procedure of the simulator sees it. */
class ViewContext implements NativeContext {
  readonly version: number;
  readonly #view: CallView;

  constructor(view: CallView, version: number) {
    this.#view = view;
    this.version = version;
  }

  get(key: string): unknown {
    const found = this.#view.get(key);
    return found === null ? null : JSON.parse(found);
  }

  put(key: string, value: unknown): void {
    this.#view.put(key, JSON.stringify(value));
  }

  delete(key: string): void {
    this.#view.delete(key);
  }

  scan(prefix: string, limit: number): (readonly [string, unknown])[] {
    const from = toBytes(prefix);
    const found = this.#view.scan({ from, to: prefixEnd(from), limit });
    return found.map(([key, value]) => [key, JSON.parse(value)]);
  }

  add(key: string, by: number): void {
    this.#view.add('add', key, by);
  }

  emit(name: string, payload: unknown): void {
    this.#view.emit(name, JSON.stringify(payload));
  }

  abort(reason: string): never {
    return this.#view.abort(reason);
  }
}

/** Runs a call as the sandbox would. */
export function runNative(call: ProcedureCall, mode: Mode, source: Source): Execution {
  const other =
    runAp(call, mode, source) ?? runFollowUp(call, mode, source) ?? runJobTask(call, mode, source);
  if (other !== null) return other;
  const version = versionOf(call.bundle.code);
  const definition = isNative(call.name) ? NATIVE_PROCEDURES[call.name] : undefined;
  if (version === null || definition === undefined || definition.mode !== mode) {
    const message = `no procedure ${call.name} of mode ${mode} in "${call.bundle.code}"`;
    return failedExecution(new BalsaError('PROCEDURE_FAILED', message));
  }
  const run = definition.run as (ctx: NativeContext, args: unknown) => unknown;
  return runInView(call, mode, source, (view, args) => run(new ViewContext(view, version), args));
}

/**
 * A store that gives ranges only to those who wait, for code that cannot: what is not at hand is noted, and the code ends.
 * When {@link ReplaySource.fetch} has got it, the code is run anew, and is told the same until there.
 */
export class ReplaySource implements Source {
  readonly #store: StoreSource;
  readonly #keys = new Map<string, StoredKey | null>();
  readonly #cells = new Map<string, Uint8Array | null>();
  readonly #scans = new Map<string, ScanAnswer | Error>();
  #missing: { readonly name: string; readonly answer: Promise<ScanAnswer> } | null = null;

  constructor(store: StoreSource) {
    this.#store = store;
  }

  /** The code has ended because of it. */
  get lacks(): boolean {
    return this.#missing !== null;
  }

  async fetch(): Promise<void> {
    const missing = this.#missing;
    if (missing === null) return;
    this.#missing = null;
    try {
      this.#scans.set(missing.name, await missing.answer);
    } catch (cause) {
      this.#scans.set(missing.name, cause as Error);
    }
  }

  checkpoint(json: string): void {
    this.#store.checkpoint?.(json);
  }

  get(key: Uint8Array): StoredKey | null {
    const name = Buffer.from(key).toString('latin1');
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const found = this.#store.get(key);
    this.#keys.set(name, found);
    return found;
  }

  cell(key: string): Uint8Array | null {
    const known = this.#cells.get(key);
    if (known !== undefined) return known;
    const found = this.#store.cell(key);
    this.#cells.set(key, found);
    return found;
  }

  scan(query: ScanQuery): ScanAnswer {
    const { from, to, keysMax, bytesMax } = query;
    const ends = [from, to].map((end) => (end === null ? '' : Buffer.from(end).toString('hex')));
    const name = [...ends, keysMax, bytesMax].join();
    const known = this.#scans.get(name);
    if (known instanceof Error) throw known;
    if (known !== undefined) return known;
    const answer = this.#store.scan(query);
    if (!(answer instanceof Promise)) return answer;
    // It may fail when nobody waits any more.
    answer.catch(() => {});
    this.#missing = { name, answer };
    throw new Error('the range is not at hand');
  }
}
