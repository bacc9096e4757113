import { EVENT_PREFIX } from '../../../src/base/call.js';
import { NATIVE_PROCEDURES, type NativeContext, type NativeName } from './native-procedures.js';

/** What a call comes to on some state. */
export interface ModelRun {
  /** JSON; `null`: it has aborted. */
  readonly result: string | null;
  readonly reason: string | null;
  /** By key; `null`: deleted. */
  readonly writes: ReadonlyMap<string, string | null>;
}

class Aborted extends Error {}

/** Values by key, as JSON. */
export type ModelState = ReadonlyMap<string, string>;

/** Runs a call on a state that is nothing but a map. */
export function runOnModel(
  call: { readonly name: NativeName; readonly args: unknown; readonly version: number },
  state: ModelState,
): ModelRun {
  const ctx = new ModelContext(state, call.version);
  const run = NATIVE_PROCEDURES[call.name].run as (ctx: NativeContext, args: unknown) => unknown;
  try {
    const result = JSON.stringify(run(ctx, call.args));
    return { result, reason: null, writes: ctx.writes };
  } catch (error) {
    if (!(error instanceof Aborted)) throw error;
    return { result: null, reason: error.message, writes: new Map() };
  }
}

class ModelContext implements NativeContext {
  readonly version: number;
  readonly writes = new Map<string, string | null>();
  readonly #state: ModelState;
  readonly #emitted = new Map<string, number>();

  constructor(state: ModelState, version: number) {
    this.#state = state;
    this.version = version;
  }

  get(key: string): unknown {
    const written = this.writes.get(key);
    const found = written === undefined ? this.#state.get(key) : written;
    return found === undefined || found === null ? null : JSON.parse(found);
  }

  put(key: string, value: unknown): void {
    this.writes.set(key, JSON.stringify(value));
  }

  delete(key: string): void {
    this.writes.set(key, null);
  }

  scan(prefix: string, limit: number): (readonly [string, unknown])[] {
    const keys = new Set([...this.#state.keys(), ...this.writes.keys()]);
    const inside = [...keys].filter((key) => key.startsWith(prefix) && this.get(key) !== null);
    return inside
      .sort()
      .slice(0, limit)
      .map((key) => [key, this.get(key)]);
  }

  add(key: string, by: number): void {
    this.put(key, ((this.get(key) ?? 0) as number) + by);
  }

  emit(name: string, payload: unknown): void {
    const which = this.#emitted.get(name) ?? 0;
    this.#emitted.set(name, which + 1);
    this.put(`${EVENT_PREFIX}${name}/${which}`, payload);
  }

  abort(reason: string): never {
    throw new Aborted(reason);
  }
}
