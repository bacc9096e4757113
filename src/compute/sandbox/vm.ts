import type { QuickJSContext, QuickJSHandle, QuickJSRuntime } from 'quickjs-emscripten-core';
import type { Clock } from '../../base/clock.js';
import { asBalsaError, BalsaError } from '../../base/errors.js';
import type { DeclaredProcedure, Mode } from '../../base/operation.js';
import { CallView, limitReached } from '../call-view.js';
import {
  type Bundle,
  type CallLimits,
  type Execution,
  failedExecution,
  type ProcedureCall,
  type Source,
} from '../execution.js';
import { Forecasts } from '../forecast.js';
import { ComputeTime, runDelayMs } from './compute-time.js';
import { type Ending, errorOf } from './ending.js';
import { GUEST_CODE } from './guest.js';
import { type CellRequestList, hostFunctions, performAll } from './host-functions.js';
import { MemoryImage, type Span, stackOf } from './memory-image.js';
import { type Memory, newQuickJs } from './quick-js.js';

/** For loading: what a bundle does outside of its procedures is within the limits of a call, too. */
const LOADING: Pick<CallLimits, 'computeMsMax'> = { computeMsMax: 3000 };

/** Jobs (continuations of promises) that run before it is seen whether there are more. */
const JOBS_AT_ONCE = 1000;

/** For code that only says what it defines. */
const NOTHING: Source = {
  get: () => null,
  scan: () => ({ items: [], more: false }),
  cell: () => null,
};

/** A larger value is not given to a call that has not asked for it. */
const FORECAST_BYTES_MAX = 4096;

const NEVER = 'the procedure waits for something that never comes';

const GUEST_FUNCTIONS = ['adopt', 'start', 'list', 'prepare', 'forget'] as const;
type GuestFunction = (typeof GUEST_FUNCTIONS)[number];

/** Code that takes longer to instantiate is instantiated once, and its memory put back behind each call. */
const INSTANTIATE_MS_MAX = 0.5;
/** The first times take longer, since the interpreter itself is compiled while it runs; but not so much longer. */
const INSTANTIATED_TO_MEASURE = 3;
const SURELY_SLOW_MS = 20;

/** Keys that were read, what was written, and changes of cells; as the guest tells it. */
type Replayed = [
  seen: string[],
  written: [key: string, json: string | null][],
  changes: CellRequestList,
];

type VmLimits = Pick<CallLimits, 'memoryBytesMax' | 'stackBytesMax'>;

/**
 * An interpreter with the code of one bundle. One call at a time; a call leaves nothing behind that a later one
 * could see. When one has reached a limit of the interpreter itself, it is {@link Vm.isSpent}: throw it away.
 */
export class Vm {
  readonly #clock: Clock;
  readonly #time: ComputeTime;
  readonly #runtime: QuickJSRuntime;
  readonly #context: QuickJSContext;
  readonly #memory: Memory;
  readonly #stack: Span;
  /** What the guest's code offers; `null`: the code of the bundle cannot be loaded. */
  #guest: Readonly<Record<GuestFunction, QuickJSHandle>> | null = null;
  /** The memory as it was when the code had been instantiated; `null`: it is instantiated for each call. */
  #image: MemoryImage | null = null;
  /** Why the code cannot be loaded. */
  #loadError = 'the code is not there';
  #view: CallView | null = null;
  /** Of the call under way. */
  #logMs = 0;
  #ending: Ending | null = null;
  /** The deadline has stopped the interpreter. */
  #isStopped = false;
  #isSpent = false;
  /** By the names of procedures. */
  readonly #forecasts = new Forecasts();

  /**
   * Never rejects for what the code does: that is told at the first call.
   * @param limits of memory and stack
   * @param delayMs as {@link runDelayMs}
   */
  static async make(
    bundle: Bundle,
    limits: VmLimits,
    clock: Clock,
    delayMs = runDelayMs,
  ): Promise<Vm> {
    const { quickJs, memory } = await newQuickJs(limits.memoryBytesMax);
    const vm = new Vm(quickJs.newRuntime(), memory, limits, clock, delayMs);
    vm.#load(bundle);
    vm.#prepare();
    return vm;
  }

  private constructor(
    runtime: QuickJSRuntime,
    memory: Memory,
    limits: VmLimits,
    clock: Clock,
    delayMs: () => number,
  ) {
    this.#clock = clock;
    this.#time = new ComputeTime(clock, delayMs);
    this.#memory = memory;
    this.#stack = stackOf(memory);
    this.#runtime = runtime;
    this.#runtime.setMemoryLimit(limits.memoryBytesMax);
    this.#runtime.setMaxStackSize(limits.stackBytesMax);
    this.#runtime.setInterruptHandler(() => this.#interrupt());
    this.#context = this.#runtime.newContext();
  }

  /** It can serve no further call. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  /** If not, each call is told why. */
  get isLoaded(): boolean {
    return this.#guest !== null;
  }

  /** Each call starts from an image of its memory, and not from an instance of the code of its own. */
  get hasImage(): boolean {
    return this.#image !== null;
  }

  run(call: ProcedureCall, mode: Mode, source: Source): Execution {
    const { name, args, nowMs, logMs = nowMs, seed, origin, limits, task } = call;
    const view = new CallView(this.#time.without(source, limits), limits, mode, origin);
    if (Buffer.byteLength(args) > limits.argsBytesMax) {
      return failedExecution(limitReached('argsBytesMax', limits.argsBytesMax));
    }
    this.#view = view;
    this.#logMs = logMs;
    try {
      const parsed = parsedArgs(args);
      const keys = parsed === null ? [] : this.#forecasts.of(name).predict(parsed.value);
      const begin = textOf(
        { name, mode, args, nowMs, seed, task },
        parsed,
        forecastIn(source, keys),
      );
      const execution = this.#outcome(this.#call('start', limits, [begin]), view, limits);
      if (parsed !== null && execution.ok) this.#learn(name, parsed.value, execution);
      return execution;
    } finally {
      this.#view = null;
      // With an image all that it took is free again.
      if (this.#image === null && this.#memory.isWorn) this.#isSpent = true;
      if (!this.#isSpent) this.#image?.restore();
    }
  }

  /** Keys that the call will probably read. */
  predict({ name, args }: Pick<ProcedureCall, 'name' | 'args'>): readonly string[] {
    const parsed = parsedArgs(args);
    return parsed === null ? [] : this.#forecasts.of(name).predict(parsed.value);
  }

  /**
   * What procedures the code defines.
   * @throws BalsaError `PROCEDURE_FAILED`, `PROCEDURE_LIMIT` when it cannot be loaded
   */
  list(limits: CallLimits): readonly DeclaredProcedure[] {
    const view = new CallView(NOTHING, limits, 'read');
    const listed = this.#outcome(this.#call('list', limits, []), view, limits);
    if (!listed.ok) throw listed.error;
    return JSON.parse(listed.result) as readonly DeclaredProcedure[];
  }

  // -------------------------------------------------------------------------------------------

  /** The guest's code comes first: no other code sees anything that is not frozen. */
  #load({ code }: Bundle): void {
    const context = this.#context;
    const guestCode = context.unwrapResult(context.evalCode(GUEST_CODE, 'balsa.js'));
    const host = hostFunctions(context, this.#memory, {
      view: () => this.#liveView(),
      logMs: () => this.#logMs,
      end: (ending) => this.#end(ending),
      replay: (done) => this.#replay(JSON.parse(done) as Replayed),
    });
    const guest = context.unwrapResult(context.callFunction(guestCode, context.undefined, host));
    const functions = GUEST_FUNCTIONS.map((name) => [name, context.getProp(guest, name)] as const);
    this.#begin(LOADING);
    const text = `function (globalThis) { 'use strict';\n${code}\n}`;
    const made = context.evalCode(`(${text})`, 'procedures.js');
    for (const handle of [guestCode, host, guest]) handle.dispose();
    if (made.error !== undefined) {
      this.#loadError = this.#messageOf(made.error);
      this.#giveUpIfStopped();
      return;
    }
    this.#guest = Object.fromEntries(functions) as Record<GuestFunction, QuickJSHandle>;
    const adopted = this.#call('adopt', LOADING, [made.value, text]);
    made.value.dispose();
    if (adopted.type === 'done') return;
    this.#guest = null;
    this.#loadError = 'the code is not the body of a function';
    this.#giveUpIfStopped();
  }

  #giveUpIfStopped(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#guest = null;
    this.#loadError = `the code takes longer than ${LOADING.computeMsMax} ms to load`;
  }

  /** Chooses what gives each call its own instance of the code sooner. */
  #prepare(): void {
    let fastestMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < INSTANTIATED_TO_MEASURE; i += 1) {
      const startedMs = this.#clock.monotonicMs();
      // What it throws, it throws again in each call.
      const { type } = this.#call('prepare', LOADING, []);
      this.#giveUpIfStopped();
      if (type !== 'done') return;
      fastestMs = Math.min(fastestMs, this.#clock.monotonicMs() - startedMs);
      if (fastestMs > SURELY_SLOW_MS) break;
    }
    if (fastestMs > INSTANTIATE_MS_MAX && !this.#memory.isFull) {
      this.#image = new MemoryImage(this.#memory, this.#stack);
    } else {
      this.#call('forget', LOADING, []);
    }
  }

  #learn(name: string, args: unknown, { effects }: Execution & { ok: true }): void {
    const reads = effects.reads.map(({ key }) => Buffer.from(key).toString());
    this.#forecasts.of(name).learn(args, new Set(reads));
  }

  /** What a call has done without asking comes into its view. */
  #replay([seen, written, changes]: Replayed): void {
    const view = this.#liveView();
    for (const key of seen) view.get(key);
    for (const [key, value] of written) {
      if (value === null) view.delete(key);
      else view.put(key, value);
    }
    performAll(view, changes);
  }

  /** What the guest gives back at once; `undefined` in its place: it will tell, or has told. */
  #ended(text: string): void {
    if (text === 'undefined') return;
    if (text === '') throw this.#memory.exhausted();
    const [result, ...done] = JSON.parse(text) as [string, ...Replayed];
    try {
      this.#replay(done);
    } catch (cause) {
      this.#liveView().fail(asBalsaError(cause));
    }
    this.#end({ type: 'done', result });
  }

  #call(
    what: GuestFunction,
    limits: Pick<CallLimits, 'computeMsMax'>,
    values: readonly (string | number | QuickJSHandle)[],
  ): Ending {
    const context = this.#context;
    if (this.#guest === null) return { type: 'broke', message: this.#loadError };
    this.#ending = null;
    this.#begin(limits);
    const args: QuickJSHandle[] = [];
    try {
      for (const value of values) args.push(this.#handleOf(value));
      const begun = context.callFunction(this.#guest[what], context.undefined, ...args);
      if (begun.error !== undefined) return this.#broken(begun.error);
      if (what === 'start') this.#ended(context.getString(begun.value));
      begun.value.dispose();
      // What it has left to do belongs to it, also behind its end.
      while (this.#runtime.hasPendingJob() && !this.#isStopped) {
        const ran = this.#runtime.executePendingJobs(JOBS_AT_ONCE);
        if (ran.error !== undefined) return this.#broken(ran.error);
        ran.dispose();
      }
    } catch (error) {
      // What the interpreter holds is not to be trusted any more.
      this.#isSpent = true;
      return { type: 'broke', message: asBalsaError(error).message };
    }
    for (const handle of args) if (!values.includes(handle)) handle.dispose();
    return this.#ending ?? { type: 'broke', message: NEVER };
  }

  #handleOf(value: string | number | QuickJSHandle): QuickJSHandle {
    if (typeof value === 'string') return this.#context.newString(value);
    return typeof value === 'number' ? this.#context.newNumber(value) : value;
  }

  #outcome(ending: Ending, view: CallView, limits: CallLimits): Execution {
    const { logs } = view;
    const failed = (error: BalsaError): Execution => ({
      ok: false,
      ...{ logs, error },
      reads: view.effects(),
    });
    if (this.#isStopped) this.#isSpent = true;
    if (this.#memory.isFull) {
      // Also when the procedure went on: what it did then may be anything.
      this.#isSpent = true;
      return failed(limitReached('memoryBytesMax', limits.memoryBytesMax));
    }
    if (view.failure !== null) return failed(view.failure);
    if (this.#isStopped) return failed(limitReached('computeMsMax', limits.computeMsMax));
    if (ending.type !== 'done') return failed(errorOf(ending, limits));
    const { result } = ending;
    if (Buffer.byteLength(result) > limits.resultBytesMax) {
      return failed(limitReached('resultBytesMax', limits.resultBytesMax));
    }
    return { ok: true, logs, result, effects: view.effects() };
  }

  /** The guest's own code did not catch it. */
  #broken(error: QuickJSHandle): Ending {
    this.#isSpent = true;
    return { type: 'broke', message: this.#messageOf(error) };
  }

  /** Looking at it may run guest code, within what is left of its time. */
  #messageOf(error: QuickJSHandle): string {
    const context = this.#context;
    const message = context.getProp(error, 'message');
    const text = context.typeof(message) === 'string' ? context.getString(message) : 'it threw';
    message.dispose();
    error.dispose();
    return text;
  }

  #end(ending: Ending): void {
    this.#ending ??= ending;
  }

  #liveView(): CallView {
    if (this.#view === null) throw new BalsaError('PROCEDURE_FAILED', 'no call is under way');
    return this.#view;
  }

  #begin(limits: Pick<CallLimits, 'computeMsMax'>): void {
    this.#isStopped = false;
    this.#time.start(limits);
  }

  #interrupt(): boolean {
    // Once it has failed for good there is nothing to wait for.
    const hasFailed = (this.#view?.failure ?? null) !== null;
    if (!hasFailed && !this.#time.isOver()) return false;
    // Some of its own functions catch the interruption; without a stack there is nothing that they could call.
    if (!this.#isStopped) this.#runtime.setMaxStackSize(1);
    this.#isStopped = true;
    return true;
  }
}

type Begin = Pick<ProcedureCall, 'name' | 'args' | 'nowMs' | 'seed' | 'task'> & {
  readonly mode: Mode;
};

/** `null`: they are not JSON, which the guest is to find out. */
function parsedArgs(args: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(args) as unknown };
  } catch {
    return null;
  }
}

/** What the guest begins with: one text, since each costs. Arguments that are JSON are put in as they are. */
function textOf(
  { name, mode, args, nowMs, seed, task }: Begin,
  parsed: object | null,
  forecast: string,
): string {
  const invalid = parsed === null ? `,${JSON.stringify(args)}` : task === undefined ? '' : ',null';
  const ofJob = task === undefined ? '' : `,${task}`;
  const given = parsed === null ? 'null' : args;
  return `[${JSON.stringify(name)},"${mode}",${given},${nowMs},${seed},${forecast}${invalid}${ofJob}]`;
}

/** What the keys hold, as far as it is at hand: JSON of the JSON of each. */
function forecastIn(source: Source, keys: readonly string[]): string {
  if (keys.length === 0 || source.peek === undefined) return '{}';
  const known: [string, string | null][] = [];
  for (const key of keys) {
    const found = source.peek(Buffer.from(key));
    if (found === undefined) continue;
    if (found === null) known.push([key, null]);
    else if (found.value.byteLength <= FORECAST_BYTES_MAX) known.push([key, textIn(found.value)]);
  }
  const pairs = known.map(([key, text]) => `${JSON.stringify(key)}:${JSON.stringify(text)}`);
  return `{${pairs.join()}}`;
}

function textIn(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}
