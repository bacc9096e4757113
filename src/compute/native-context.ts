import { BalsaError } from '../base/errors.js';
import type { Mode } from '../base/operation.js';
import type { Random } from '../base/random.js';
import type { CallView } from './call-view.js';
import { dueOf, type ScheduleRequest } from './cron.js';
import { nativeCell } from './native-cells.js';
import type { ApContext, CpContext, Json, Procedure, TaskFacts } from './procedures.js';
import { toScan } from './sandbox/host-functions.js';
import { pointerKey, scheduleKey } from './schedule-keys.js';

export type AnyProcedure = Procedure<unknown, unknown, 'cp' | 'read' | 'ap'>;

export interface NativeHost {
  readonly nowMs: number;
  /** See `ProcedureCall`. */
  readonly logMs?: number | undefined;
  readonly random: Random;
  /** Of a task of a job. */
  readonly task?: TaskFacts | null;
  /** Runs another procedure with the same `ctx`. */
  readonly run: (ctx: object, procedure: AnyProcedure, args: unknown) => Promise<unknown>;
  /** Under which a procedure is exported; empty: it is not. Default: one name for all. */
  readonly nameOf?: (procedure: AnyProcedure) => string;
  /** What is exported under a name; `undefined`: nothing. Default: nothing is. */
  readonly find?: (name: string) => unknown;
}

const LOG_LENGTH_MAX = 10_000;

/** The `ctx` of a procedure of any mode that runs in this process, without a sandbox. It checks what it is given as that does. */
export function nativeContext(view: CallView, host: NativeHost): CpContext & ApContext {
  const { nowMs, random, task = null } = host;
  const ctx: CpContext & ApContext = {
    now: nowMs,
    random: () => random.next(),
    get: <Value extends Json>(key: string) => {
      const found = told(() => view.get(keyOf(key)));
      return found === null ? null : (valueIn(view, key, found) as Value);
    },
    put: (key, value) => {
      const json = jsonOf(`ctx.put of ${keyOf(key)}`, value);
      told(() => view.put(key, json));
    },
    delete: (key) => told(() => view.delete(keyOf(key))),
    add: (key, by) => told(() => view.add('add', keyOf(key), numberOf(by))),
    max: (key, by) => told(() => view.add('max', keyOf(key), numberOf(by))),
    setIfAbsent: (key, value) => {
      const json = jsonOf(`ctx.setIfAbsent of ${keyOf(key)}`, value);
      told(() => view.setIfAbsent(key, json));
    },
    emit: (name, payload = null) => {
      const json = jsonOf(`ctx.emit of ${textOf(name)}`, payload);
      told(() => view.emit(textOf(name), json));
    },
    cell: (of) => {
      const handle = nativeCell(view, of ?? {});
      keyOf(of.key);
      return handle;
    },
    task,
    lastCheckpoint: task?.lastCheckpoint ?? null,
    checkpoint: (value) => {
      const json = jsonOf('ctx.checkpoint', value);
      told(() => view.checkpoint(json));
    },
    log: (...values) => view.log(values.map(shown).join(' ').slice(0, LOG_LENGTH_MAX)),
    abort: (reason = 'aborted') => told(() => view.abort(textOf(reason))),
    schedule: (when, procedure, args) =>
      schedule(ctx, host, { when, procedure, args, from: view.mode }),
    cancel: (id) => {
      const key = ctx.get<string>(pointerKey(id));
      if (key === null) return false;
      ctx.delete(key);
      ctx.delete(pointerKey(id));
      return true;
    },
    scan: async ({ prefix, from, to, limit } = {}) => {
      const range = copyOf({ prefix, from, to, limit }) as Record<string, unknown>;
      const pairs = told(() => view.scan(toScan(range)));
      return pairs.map(([key, json]) => ({ key, value: valueIn(view, key, json) }));
    },
    call: async (target: unknown, args: unknown = null): Promise<never> => {
      const isName = typeof target === 'string';
      const found = isName ? host.find?.(target) : target;
      if (!isProcedure(found)) {
        const what = isName ? target : 'what was given to ctx.call';
        throw told(() =>
          refused(view, 'PROCEDURE_NOT_FOUND', `the code defines no procedure ${what}`),
        );
      }
      jsonOf('the arguments of ctx.call', args);
      return (await host.run(ctx, found, args)) as never;
    },
  };
  return Object.freeze(ctx);
}

interface Planned {
  readonly when: Parameters<CpContext['schedule']>[0];
  readonly procedure: AnyProcedure | string;
  readonly args: unknown;
  /** How the procedure that plans it was declared. */
  readonly from: Mode;
}

function schedule(
  ctx: CpContext,
  { nowMs, logMs = nowMs, random, nameOf = () => 'procedure' }: NativeHost,
  { when, procedure, args = null, from }: Planned,
): string {
  const { atMs, inMs, cron, id } = when ?? {};
  const name = typeof procedure === 'string' ? procedure : nameOf(procedure);
  // Who may not write at all is told that.
  const isKnown = from === 'cp' && typeof procedure !== 'string';
  const mode = isKnown ? (procedure as AnyProcedure).mode : undefined;
  const request = copyOf({ atMs, inMs, cron, id, name, mode, now: nowMs }) as ScheduleRequest;
  const due = told(() => dueOf(request, logMs));
  const chosen = id ?? random.int(2 ** 32).toString(36) + random.int(2 ** 32).toString(36);
  const key = scheduleKey(due, chosen);
  ctx.cancel(chosen);
  ctx.put(key, { procedure: name, args: args as Json, cron: cron ?? null });
  ctx.put(pointerKey(chosen), key);
  return chosen;
}

/** Code that catches what is refused sees an error with the name that it has in the sandbox, too. */
function told<T>(ask: () => T): T {
  try {
    return ask();
  } catch (cause) {
    if (!(cause instanceof BalsaError)) throw cause;
    const error = new Error(cause.message, { cause });
    error.name = cause.code;
    throw error;
  }
}

/** Nothing can come of the call any more. */
export function refused(
  view: CallView,
  code: 'PROCEDURE_NOT_FOUND' | 'INVALID_ARGUMENT' | 'VALUE_NOT_DECODABLE',
  message: string,
): never {
  throw view.fail(new BalsaError(code, message, { outcome: 'not-applied' }));
}

export function isProcedure(value: unknown): value is AnyProcedure {
  return typeof value === 'object' && value !== null && 'handler' in value
    ? typeof value.handler === 'function'
    : false;
}

function keyOf(key: unknown): string {
  if (typeof key === 'string') return key;
  throw new TypeError(`a key must be a string, found ${typeof key}`);
}

function valueIn(view: CallView, key: string, json: string): Json {
  try {
    return JSON.parse(json) as Json;
  } catch {
    return told(() => refused(view, 'VALUE_NOT_DECODABLE', `the value of ${key} is not JSON`));
  }
}

export function jsonOf(what: string, value: unknown): string {
  const json = JSON.stringify(value) as string | undefined;
  if (json !== undefined) return json;
  throw new TypeError(`${what}: ${typeof value} cannot be stored; use ctx.delete to remove a key`);
}

function numberOf(by: unknown): number {
  return typeof by === 'number' ? by : Number.NaN;
}

/** As it arrives where it is asked for. */
function copyOf(value: object): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}

function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return 'something that cannot be shown';
  }
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return (JSON.stringify(value) as string | undefined) ?? textOf(value);
  } catch {
    return textOf(value);
  }
}
