import { compareBytes, toMapKey } from '../base/bytes.js';
import {
  type Effects,
  type EmittedEvent,
  eventWrites,
  type KeyDefault,
  type KeyUpdate,
  updatedNumber,
} from '../base/call.js';
import { Cell, cellKey } from '../base/cell.js';
import { type CellWrite, ORIGIN_LENGTH } from '../base/delta.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import { seededRandom } from '../base/random.js';
import { CallView, cutError } from './call-view.js';
import { CALL_LIMITS, type ScanAnswer, type ScanQuery, type StoredKey } from './execution.js';
import { nativeContext } from './native-context.js';
import type { CellKind, CellName, Json, Procedure, Schema } from './procedures.js';

/** The only one whose changes are merged here. */
const ORIGIN = '0'.repeat(ORIGIN_LENGTH);

/** Of a call of a {@link TestStore}. */
export interface TestCallOptions {
  /** What `ctx.now` says, in milliseconds since 1970. Default: the time that the store was given, 0 at first. */
  readonly nowMs?: number | undefined;
  /** Of `ctx.random`. Default 1. */
  readonly seed?: number | undefined;
}

/**
 * A store in memory in which a procedure runs as a function of this process: no cluster, no sandbox, microseconds. For the unit
 * tests of procedures. What an `ap` procedure changes is merged at once. Reads, writes, limits and errors are as in a cluster; what is not: the limits of time and memory, and what the
 * sandbox takes away (a procedure that asks for `process` finds it here).
 *
 * @example
 * ```ts
 * const store = new TestStore({ 'account/ada': 10 });
 * await store.call(transfer, { from: 'ada', to: 'bob', amount: 4 });
 * expect(store.get('account/bob')).toBe(4);
 * ```
 */
export class TestStore {
  readonly #items = new Map<string, StoredKey>();
  #revision = 0;
  /** Of the last change of a cell. */
  #lastMs = 0;
  /** Events of calls that were applied, in order. */
  readonly events: { readonly name: string; readonly payload: Json }[] = [];
  /** What calls have logged. */
  readonly logs: string[] = [];
  nowMs = 0;

  constructor(values: Readonly<Record<string, Json>> = {}) {
    for (const [key, value] of Object.entries(values)) this.put(key, value);
  }

  /** Of the last call or put that has changed something. */
  get revision(): number {
    return this.#revision;
  }

  get(key: string): Json {
    const item = this.#items.get(toMapKey(Buffer.from(key)));
    return item === undefined ? null : jsonOf(item);
  }

  put(key: string, value: Json): void {
    this.#revision += 1;
    this.#set(Buffer.from(key), Buffer.from(JSON.stringify(value)));
  }

  delete(key: string): void {
    if (this.#items.delete(toMapKey(Buffer.from(key)))) this.#revision += 1;
  }

  /**
   * What a cell shows, as its handle gives it with `value`, `values` or `entries`.
   * @throws BalsaError `INVALID_ARGUMENT`: the key stands for one of another kind
   */
  cell<Kind extends CellKind, Value>(of: CellName<Kind, Value>): Json {
    const view = new CallView(this.#source(), CALL_LIMITS, 'ap');
    return JSON.parse(view.cell({ ...of, action: 'view', operands: [] })) as Json;
  }

  /** All keys, in order. */
  entries(): readonly (readonly [key: string, value: Json])[] {
    return this.#sorted().map((item) => [Buffer.from(item.key).toString(), jsonOf(item)]);
  }

  /**
   * Runs a procedure, and applies what it wrote.
   * @throws BalsaError `PROCEDURE_ABORTED`, `PROCEDURE_FAILED` (the code threw: `cause` is what), `PROCEDURE_LIMIT`,
   *   `PROCEDURE_READ_ONLY`, `CELL_FULL`, `INVALID_ARGUMENT` (also: the arguments are not what the schema says)
   */
  async call<Args, Result>(
    procedure: Procedure<Args, Result, 'cp' | 'read' | 'ap'>,
    args: Args,
    { nowMs = this.nowMs, seed = 1 }: TestCallOptions = {},
  ): Promise<Awaited<Result>> {
    const view = new CallView(this.#source(), CALL_LIMITS, procedure.mode, ORIGIN);
    try {
      const ctx = nativeContext(view, { nowMs, random: seededRandom(seed), run: handle });
      const result = await handle(ctx, procedure, args);
      if (view.failure !== null) throw view.failure;
      this.#apply(view.effects());
      this.#merge(view.effects().cells, nowMs);
      return result as Awaited<Result>;
    } catch (cause) {
      throw view.failure ?? failureOf(cause);
    } finally {
      this.logs.push(...view.logs);
    }
  }

  #source() {
    const items = this.#sorted();
    return {
      get: (key: Uint8Array): StoredKey | null => this.#items.get(toMapKey(key)) ?? null,
      cell: (key: string): Uint8Array | null =>
        this.#items.get(toMapKey(cellKey(key)))?.value ?? null,
      scan: ({ from, to, keysMax }: ScanQuery): ScanAnswer => {
        const inside = items.filter(
          ({ key }) => compareBytes(key, from) >= 0 && (to === null || compareBytes(key, to) < 0),
        );
        return { items: inside.slice(0, keysMax), more: inside.length > keysMax };
      },
    };
  }

  /** At once: nobody else is there. */
  #merge(cells: readonly CellWrite[], nowMs: number): void {
    if (cells.length === 0) return;
    this.#revision += 1;
    this.#lastMs = Math.max(this.#lastMs, nowMs);
    const call = `${ORIGIN}:${this.#revision}`;
    const time = { timeMs: this.#lastMs, count: 0 };
    cells.forEach(({ key, change }, place) => {
      const bytes = cellKey(key);
      const stored = this.#items.get(toMapKey(bytes))?.value;
      const found = stored === undefined ? null : Cell.decode(stored);
      const cell = found ?? Cell.empty(change.cell);
      cell.apply(change, { ...time, origin: ORIGIN, call, place }, { origins: [ORIGIN] });
      this.#set(bytes, cell.encode());
    });
  }

  #apply({ writes, updates, events }: Effects): void {
    const changed = updates.flatMap((update) => this.#updated(update));
    if (writes.length + changed.length + events.length === 0) return;
    this.#revision += 1;
    for (const { key, value } of [...writes, ...eventWrites(events)]) {
      if (value === null) this.#items.delete(toMapKey(key));
      else this.#set(key, value);
    }
    // One after the other: several may be of the same key.
    for (const update of updates) {
      for (const { key, value } of this.#updated(update)) this.#set(key, value);
    }
    this.events.push(...events.map(toEvent));
  }

  /** @throws BalsaError `PROCEDURE_FAILED` */
  #updated(update: KeyUpdate | KeyDefault): { key: Uint8Array; value: Uint8Array }[] {
    const { key } = update;
    const current = this.#items.get(toMapKey(key))?.value ?? null;
    if (update.type === 'set-if-absent') {
      return current === null ? [{ key, value: update.value }] : [];
    }
    const after = updatedNumber(update, current);
    if (typeof after === 'number') return [{ key, value: Buffer.from(JSON.stringify(after)) }];
    throw new BalsaError('PROCEDURE_FAILED', `ctx.${update.type} of ${key.toString()}: ${after}`, {
      outcome: 'not-applied',
    });
  }

  #set(key: Uint8Array, value: Uint8Array): void {
    this.#items.set(toMapKey(key), { key, value, modRevision: this.#revision });
  }

  #sorted(): StoredKey[] {
    return [...this.#items.values()].sort((a, b) => compareBytes(a.key, b.key));
  }
}

type AnyProcedure = Procedure<unknown, unknown, 'cp' | 'read' | 'ap'>;

/** Checks the arguments and runs the handler, with nothing in common with the caller but JSON. */
async function handle(ctx: object, procedure: AnyProcedure, args: unknown): Promise<unknown> {
  const given = JSON.parse(JSON.stringify(args) ?? 'null') as unknown;
  const valid = procedure.args === null ? given : await validated(procedure.args, given);
  const result = await procedure.handler(ctx as never, valid as never);
  return JSON.parse(JSON.stringify(result) ?? 'null') as unknown;
}

async function validated(schema: Schema, args: unknown): Promise<unknown> {
  const outcome = await schema['~standard'].validate(args);
  if (outcome.issues === undefined) return outcome.value;
  const texts = outcome.issues.map(({ message, path }) => {
    const keys = (path ?? []).map((part) => String(typeof part === 'object' ? part.key : part));
    return keys.length === 0 ? message : `${keys.join('.')}: ${message}`;
  });
  throw new BalsaError('INVALID_ARGUMENT', texts.join('; '), { outcome: 'not-applied' });
}

function failureOf(cause: unknown): BalsaError {
  if (cause instanceof BalsaError) return cause;
  const { message } = asBalsaError(cause);
  const failed = { outcome: 'not-applied', cause } as const;
  return cutError(
    new BalsaError('PROCEDURE_FAILED', `the procedure threw ${message}`, failed),
    CALL_LIMITS,
  );
}

function jsonOf({ value }: StoredKey): Json {
  return JSON.parse(Buffer.from(value).toString('utf8')) as Json;
}

function toEvent({ name, payload }: EmittedEvent): {
  readonly name: string;
  readonly payload: Json;
} {
  return { name, payload: JSON.parse(payload) as Json };
}
