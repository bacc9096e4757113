import type { WriteBatch, WriteOperation } from '../../src/base/operation.js';
import type { SystemOperation } from '../../src/statemachine/types.js';
import { type ModelResult, NaiveStore, type StoreBounds } from './naive-store.js';

export interface ModelBounds extends StoreBounds {
  readonly sessionsMax: number;
  readonly sessionIdleMsMax: number;
  readonly batchesPerSessionMax: number;
}

interface ModelSession {
  readonly id: string;
  last: number;
  acknowledged: number;
  readonly answers: Map<number, readonly ModelResult[]>;
  activeIndex: number;
  activeMs: number;
}

export interface ModelBatch extends Omit<WriteBatch, 'operations' | 'sessionId'> {
  readonly id: string;
  readonly operations: readonly WriteOperation[];
}

export type ModelAnswer =
  | { readonly ok: true; readonly repeated: boolean; readonly results: readonly ModelResult[] }
  | { readonly ok: false; readonly code: string; readonly outcome: string };

/**
 * What the state machine should do with the log, written without any regard to cost: sessions in a list,
 * each with its answers, and a {@link NaiveStore}.
 */
export class NaiveModel {
  readonly store: NaiveStore;
  sessions: ModelSession[] = [];
  index = 0;
  forgottenThrough = 0;

  constructor(readonly bounds: ModelBounds) {
    this.store = new NaiveStore(bounds);
  }

  /** An entry that holds no command. */
  other(): void {
    this.index += 1;
  }

  command(
    timeMs: number,
    batches: readonly ModelBatch[],
    system: readonly SystemOperation[] = [],
    version = 3,
  ): ModelAnswer[] {
    this.index += 1;
    this.store.beginEntry(timeMs, version);
    while (this.#oldestIsIdle()) this.#forgetOldest();
    for (const operation of system) {
      if (operation.type === 'expire') this.store.expire(operation.leases);
      // Refused like one of a client, but nobody is told. A sweep cannot be seen.
      if (operation.type === 'compact') this.store.operation(operation);
    }
    return batches.map((one) => this.#batch(one));
  }

  #oldestIsIdle(): boolean {
    const oldest = this.sessions[0];
    const idleMs = this.store.timeMs - (oldest?.activeMs ?? this.store.timeMs);
    return idleMs > this.bounds.sessionIdleMsMax;
  }

  #forgetOldest(): void {
    const gone = this.sessions.shift();
    this.forgottenThrough = Math.max(this.forgottenThrough, gone?.activeIndex ?? 0);
  }

  #batch(one: ModelBatch): ModelAnswer {
    let found = this.sessions.find((each) => each.id === one.id);
    if (found === undefined) {
      if (one.bornIndex < this.forgottenThrough) return refused('SESSION_EXPIRED', 'not-applied');
      if (one.sequence !== 1) return refused('SESSION_GAP', 'not-applied');
      if (this.sessions.length === this.bounds.sessionsMax) this.#forgetOldest();
      found = {
        id: one.id,
        last: 0,
        acknowledged: 0,
        answers: new Map(),
        activeIndex: 0,
        activeMs: 0,
      };
    }
    if (one.sequence > found.last + 1) return refused('SESSION_GAP', 'not-applied');
    const repeated = one.sequence <= found.last;
    if (!repeated) {
      found.last = one.sequence;
      const results = one.operations.map((operation) => this.store.operation(operation));
      found.answers.set(one.sequence, results);
    }
    const results = found.answers.get(one.sequence);
    if (results === undefined) return refused('SESSION_EXPIRED', 'unknown');
    this.#touch(found, one);
    return { ok: true, repeated, results };
  }

  #touch(session: ModelSession, one: ModelBatch): void {
    const through = Math.min(one.acknowledged, one.sequence - 1);
    session.acknowledged = Math.max(session.acknowledged, through);
    for (const sequence of [...session.answers.keys()]) {
      const tooOld = sequence <= session.last - this.bounds.batchesPerSessionMax;
      if (sequence <= session.acknowledged || tooOld) session.answers.delete(sequence);
    }
    session.activeIndex = this.index;
    session.activeMs = this.store.timeMs;
    this.sessions = [...this.sessions.filter((each) => each !== session), session];
  }
}

function refused(code: string, outcome: string): ModelAnswer {
  return { ok: false, code, outcome };
}
