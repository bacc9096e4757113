import { BalsaError, type Meta } from '../../src/client/client.js';
import { HistoryWriter } from '../history/history-writer.js';
import type { HistoryOperation } from '../history/operation.js';
import type { RunClock } from './clock.js';
import type { Observer } from './observer.js';

/** What is asked. */
export interface Question {
  readonly f: string;
  readonly key?: string;
  readonly value?: unknown;
  /** Of a read; see `HistoryOperation`. */
  readonly level?: string;
  /** It changes something, so that a failure may leave its outcome open. */
  readonly writes: boolean;
  /** The one replica that is asked. */
  readonly node?: string;
  /** Under which name it is counted: see `CLASSES` of the report. Default: by f and level. */
  readonly class?: string;
}

/** What came back. */
export interface Answer {
  /** Default: what was asked for. */
  readonly value?: unknown;
  readonly revision?: number;
  readonly meta?: Meta;
  /** It was refused for a reason of the workload: certainly nothing has happened. */
  readonly refused?: string;
}

export type Came<T> =
  | { readonly type: 'ok'; readonly answer: T }
  | { readonly type: 'fail' | 'info'; readonly error: string; readonly revision?: number };

let lastProcess = -1;

/** Numbers of processes are given once in a run. */
function nextProcess(): number {
  lastProcess += 1;
  return lastProcess;
}

/** The history of one workload. */
export class Recorder {
  readonly path: string;
  readonly workload: string;
  operations = 0;
  readonly #writer: HistoryWriter;
  readonly #clock: RunClock;
  readonly #observer: Observer;

  constructor(options: {
    readonly path: string;
    readonly workload: string;
    readonly clock: RunClock;
    readonly observer: Observer;
  }) {
    this.path = options.path;
    this.workload = options.workload;
    this.#writer = new HistoryWriter(options.path);
    this.#clock = options.clock;
    this.#observer = options.observer;
  }

  /** @param side on which side of a partition this process is */
  process(side: () => 'majority' | 'minority' | null = () => null): ProcessLog {
    return new ProcessLog(this, side);
  }

  /** @internal */
  now(): number {
    return this.#clock.now();
  }

  /** A line that stands alone. */
  note(operation: Omit<HistoryOperation, 'time'>): void {
    this.#writer.write({ ...operation, time: this.#clock.now() });
  }

  get observer(): Observer {
    return this.#observer;
  }

  close(): void {
    this.#writer.close();
  }
}

/** One process at a time, which gets a new number whenever it does not know what became of what it did. */
export class ProcessLog {
  number = nextProcess();
  readonly #recorder: Recorder;
  readonly #side: () => 'majority' | 'minority' | null;

  constructor(recorder: Recorder, side: () => 'majority' | 'minority' | null) {
    this.#recorder = recorder;
    this.#side = side;
  }

  /** Does one operation, and writes down that it began and what came of it. */
  async do<T extends Answer>(question: Question, call: () => Promise<T>): Promise<Came<T>> {
    const { f, key, value, level } = question;
    const recorder = this.#recorder;
    const side = this.#side();
    const situation = recorder.observer.situation(side);
    const asked = { process: this.number, f, ...given({ key, level }) };
    const invokedNs = recorder.now();
    recorder.note({ ...asked, type: 'invoke', ...given({ value, node: question.node }) });
    recorder.operations += 1;
    const came = await call().then(toOk, (error: unknown) => toFailure(error, question.writes));
    const answer = came.type === 'ok' ? came.answer : null;
    const revision = came.type === 'ok' ? undefined : came.revision;
    const told = answer === null ? { value, revision } : toldBy(answer, value);
    const error = came.type === 'ok' ? undefined : came.error;
    recorder.note({ ...asked, type: came.type, ...given({ ...told, error }) });
    recorder.observer.observe(situation, {
      class: question.class ?? classOf(question),
      // That a condition does not hold is an answer, too.
      type: came.type !== 'ok' && ANSWERS.has(came.error) ? 'ok' : came.type,
      error: error ?? null,
      side,
      invokedNs,
      completedNs: recorder.now(),
      isWrite: question.writes && question.class !== 'call ap',
    });
    if (came.type === 'info') this.number = nextProcess();
    return came;
  }

  /** Something that was seen, without having been asked for. */
  note(line: Omit<HistoryOperation, 'time' | 'process'>): void {
    this.#recorder.note({ process: this.number, ...line });
  }
}

/** Refusals that the store decides about and does not give for want of a majority. */
const ANSWERS = new Set([
  'CONDITION_FAILED',
  'HELD',
  'LEASE_NOT_FOUND',
  'LOCK_LOST',
  'PROCEDURE_ABORTED',
  'TXN_CONFLICT',
]);

function classOf({ f, level, writes }: Question): string {
  if (level !== undefined) return `${f} ${level.split(':')[0]}`;
  if (!writes) return 'get linearizable';
  return f === 'cas' || f === 'txn' || f === 'insert' ? 'txn' : 'put';
}

function toOk<T extends Answer>(answer: T): Came<T> {
  if (answer.refused !== undefined) {
    return { type: 'fail', error: answer.refused, ...given({ revision: answer.revision }) };
  }
  return { type: 'ok', answer };
}

/** @throws what is no error of a client: a mistake of ours */
function toFailure(error: unknown, writes: boolean): Came<never> {
  if (!(error instanceof BalsaError)) throw error;
  // What a procedure threw or was refused for has its meaning in its code: nothing was written.
  const isTold = error.outcome === undefined && error.code.startsWith('PROCEDURE_');
  const isOpen = writes && error.outcome !== 'not-applied' && !isTold;
  return { type: isOpen ? 'info' : 'fail', error: error.code };
}

function toldBy({ value, revision, meta }: Answer, asked: unknown) {
  return {
    value: value === undefined ? asked : value,
    revision: revision ?? meta?.revision,
    node: meta?.replica,
    side: meta?.side,
    stalenessMs: meta?.stalenessMs ?? undefined,
  };
}

/** Without the fields that are not there. */
function given<T extends Record<string, unknown>>(fields: T): Given<T> {
  const there = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(there) as Given<T>;
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
