import { prefixEnd } from '../base/bytes.js';
import type { Random } from '../base/random.js';
import type { CallView } from './call-view.js';
import { dueOf } from './cron.js';
import { nativeCell } from './native-cells.js';
import type {
  ApContext,
  CpContext,
  Json,
  Procedure,
  ScanOptions,
  TaskFacts,
} from './procedures.js';

type AnyProcedure = Procedure<unknown, unknown, 'cp' | 'read' | 'ap'>;

export interface NativeHost {
  readonly nowMs: number;
  /** See `ProcedureCall`. */
  readonly logMs?: number | undefined;
  readonly random: Random;
  /** Of a task of a job. */
  readonly task?: TaskFacts | null;
  /** Runs another procedure with the same `ctx`. */
  readonly run: (ctx: object, procedure: AnyProcedure, args: unknown) => Promise<unknown>;
}

/** The `ctx` of a procedure of any mode that runs in this process, without a sandbox. */
export function nativeContext(
  view: CallView,
  { nowMs, logMs = nowMs, random, run, task = null }: NativeHost,
): CpContext & ApContext {
  const ctx: CpContext & ApContext = {
    now: nowMs,
    random: () => random.next(),
    get: <Value extends Json>(key: string) => {
      const found = view.get(key);
      return found === null ? null : (JSON.parse(found) as Value);
    },
    put: (key, value) => view.put(key, JSON.stringify(value)),
    delete: (key) => view.delete(key),
    add: (key, by) => view.add('add', key, by),
    max: (key, by) => view.add('max', key, by),
    setIfAbsent: (key, value) => view.setIfAbsent(key, JSON.stringify(value)),
    emit: (name, payload = null) => view.emit(name, JSON.stringify(payload)),
    cell: (of) => nativeCell(view, of),
    task,
    lastCheckpoint: task?.lastCheckpoint ?? null,
    checkpoint: (value) => view.checkpoint(JSON.stringify(value)),
    log: (...values) => view.log(values.map(shown).join(' ')),
    abort: (reason = 'aborted') => view.abort(reason),
    schedule: (when, procedure, args) => {
      const name = typeof procedure === 'string' ? procedure : 'procedure';
      // Who may not write at all is told that.
      const isKnown = view.mode === 'cp' && typeof procedure !== 'string';
      const mode = isKnown ? (procedure as AnyProcedure).mode : undefined;
      const due = dueOf({ ...when, name, mode, now: nowMs }, logMs);
      const id = when.id ?? random.int(2 ** 31).toString(36);
      const key = `_schedules/${String(due).padStart(15, '0')}/${id}`;
      ctx.cancel(id);
      ctx.put(key, { procedure: name, args: args as Json, cron: when.cron ?? null });
      ctx.put(`_schedule-ids/${id}`, key);
      return id;
    },
    cancel: (id) => {
      const key = ctx.get<string>(`_schedule-ids/${id}`);
      if (key === null) return false;
      ctx.delete(key);
      ctx.delete(`_schedule-ids/${id}`);
      return true;
    },
    scan: (options = {}) => {
      const pairs = view.scan(toRange(options));
      return Promise.resolve(
        pairs.map(([key, value]) => ({ key, value: JSON.parse(value) as Json })),
      );
    },
    call: (procedure: unknown, args?: unknown) => {
      if (typeof procedure === 'string') {
        throw new TypeError(
          'without a bundle there are no names: give ctx.call the procedure itself',
        );
      }
      return run(ctx, procedure as AnyProcedure, args) as Promise<never>;
    },
  };
  return ctx;
}

function toRange({ prefix, from, to, limit = Number.POSITIVE_INFINITY }: ScanOptions) {
  const begin = Buffer.from(prefix ?? from ?? '');
  if (prefix !== undefined) return { from: begin, to: prefixEnd(begin), limit };
  return { from: begin, to: to === undefined ? null : Buffer.from(to), limit };
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
}
