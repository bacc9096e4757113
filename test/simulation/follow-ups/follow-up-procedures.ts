import { createHash } from 'node:crypto';
import { BalsaError } from '../../../src/base/errors.js';
import type { DeclaredProcedure, Mode } from '../../../src/base/operation.js';
import type { CallView } from '../../../src/compute/call-view.js';
import { inLogTime, nextDueMs } from '../../../src/compute/cron.js';
import {
  type Execution,
  failedExecution,
  type ProcedureCall,
  type Source,
} from '../../../src/compute/execution.js';
import { runInView } from '../calls/run-in-view.js';

/** What is put below this is told to `follow-told`. */
export const IN = 'follow/in/';
/** Of each put that was told: its revision, and its value. */
export const TOLD = 'follow/told';
/** Of each scheduled call: its name, and by how much it was late, in log time. */
export const HAPPENED = 'follow/happened';

/** Of each call of a cron expression: its name, when it was due, and when it ran, in log time; not due: it was stopped. */
export const TICKED = 'follow/ticked';
export const CRON = '*/5 * * * * *';
/** From one time to the next. */
export const CRON_MS = 5000;

export type Ticked = readonly [id: string, dueMs: number | null, ranMs: number];
export type Told = readonly [revision: number, value: string];
export type Happened = readonly [id: string, lateMs: number];

const SCHEDULES = '_schedules/';
const IDS = '_schedule-ids/';
const DUE_DIGITS = 15;

export interface LaterArgs {
  readonly id: string;
  readonly inMs: number;
}

interface HappenArgs {
  readonly id: string;
  readonly dueMs: number;
}

interface TriggerEvent {
  readonly value: string;
  readonly revision: number;
}

class Store {
  readonly #view: CallView;

  constructor(view: CallView) {
    this.#view = view;
  }

  get(key: string): unknown {
    return JSON.parse(this.#view.get(key) ?? 'null');
  }

  delete(key: string): void {
    this.#view.delete(key);
  }

  /** As `ctx.schedule` does. */
  schedule(id: string, dueMs: number, what: Readonly<Record<string, unknown>>): void {
    const key = `${SCHEDULES}${String(dueMs).padStart(DUE_DIGITS, '0')}/${id}`;
    this.put(key, what);
    this.put(`${IDS}${id}`, key);
  }

  put(key: string, value: unknown): void {
    this.#view.put(key, JSON.stringify(value));
  }

  append(key: string, ...entries: readonly unknown[]): void {
    this.put(key, [...((this.get(key) ?? []) as unknown[]), ...entries]);
  }
}

/** When a call runs: by the clock there, and in log time. */
interface Times {
  readonly now: number;
  readonly logMs: number;
}

type Run = (store: Store, args: never, times: Times) => void;

/** When the cron expression is due next, in log time. */
function nextTick(times: Times): number {
  return inLogTime(nextDueMs(CRON, times.now), times);
}

const PROCEDURES: Readonly<Record<string, { readonly trigger: string | null; readonly run: Run }>> =
  {
    'follow-told': {
      trigger: IN,
      run: (store, events: readonly TriggerEvent[]) =>
        store.append(TOLD, ...events.map(({ revision, value }): Told => [revision, value])),
    },
    /** Two puts of one revision. */
    'follow-both': {
      trigger: null,
      run: (store, id: string) => {
        for (const side of ['a', 'b']) store.put(`${IN}${side}`, `${id}-${side}`);
      },
    },
    'follow-later': {
      trigger: null,
      run: (store, { id, inMs }: LaterArgs, { logMs }) => {
        const dueMs = Math.ceil(logMs + inMs);
        const args = { id, dueMs } satisfies HappenArgs;
        store.schedule(id, dueMs, { procedure: 'follow-happen', args, cron: null });
      },
    },
    'follow-cron': {
      trigger: null,
      run: (store, id: string, times) =>
        store.schedule(id, nextTick(times), {
          ...{ procedure: 'follow-tick', args: id, cron: CRON },
        }),
    },
    'follow-tick': {
      trigger: null,
      run: (store, id: string, { logMs }) => {
        const key = String(store.get(`${IDS}${id}`));
        const dueMs = Number(key.slice(SCHEDULES.length).slice(0, DUE_DIGITS));
        store.append(TICKED, [id, dueMs, logMs] satisfies Ticked);
      },
    },
    'follow-stop': {
      trigger: null,
      run: (store, id: string, { logMs }) => {
        const key = store.get(`${IDS}${id}`);
        if (typeof key !== 'string') return;
        store.delete(key);
        store.delete(`${IDS}${id}`);
        store.append(TICKED, [id, null, logMs] satisfies Ticked);
      },
    },
    'follow-happen': {
      trigger: null,
      run: (store, { id, dueMs }: HappenArgs, { logMs }) =>
        store.append(HAPPENED, [id, logMs - dueMs] satisfies Happened),
    },
  };

const CODE = 'follow-up procedures';

export const FOLLOW_UP_BUNDLE: {
  readonly hash: string;
  readonly code: string;
  readonly procedures: readonly DeclaredProcedure[];
} = {
  hash: createHash('sha256').update(CODE).digest('hex'),
  code: CODE,
  procedures: Object.entries(PROCEDURES).map(([name, { trigger }]) => ({
    ...{ name, mode: 'cp' as const, trigger },
  })),
};

/** Runs a call as the sandbox would; `null`: it is of another bundle. */
export function runFollowUp(call: ProcedureCall, mode: Mode, source: Source): Execution | null {
  if (call.bundle.code !== CODE) return null;
  const definition = PROCEDURES[call.name];
  if (definition === undefined || mode !== 'cp') {
    return failedExecution(new BalsaError('PROCEDURE_FAILED', `no ${call.name} of mode ${mode}`));
  }
  const run = definition.run as (store: Store, args: unknown, times: Times) => void;
  const { nowMs: now, logMs = now } = call;
  return runInView(call, mode, source, (view, args) => {
    run(new Store(view), args, { now, logMs });
    return null;
  });
}
