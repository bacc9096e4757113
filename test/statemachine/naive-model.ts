import type { WriteBatch, WriteOperation, WriteResult } from '../../src/base/operation.js';

export interface Held {
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
}

type Snapshot = ReadonlyMap<string, Held>;

interface ModelSession {
  readonly id: string;
  last: number;
  acknowledged: number;
  readonly answers: Map<number, string>;
  activeIndex: number;
  activeMs: number;
}

export interface ModelBatch extends Omit<WriteBatch, 'operations' | 'sessionId'> {
  readonly id: string;
  readonly operations: readonly WriteOperation[];
}

/**
 * What the state machine should do, written without any regard to cost: a whole copy of the store for
 * each revision, sessions in a list.
 */
export class NaiveModel {
  readonly snapshots: Snapshot[] = [new Map()];
  sessions: ModelSession[] = [];
  index = 0;
  timeMs = 0;
  forgottenThrough = 0;

  constructor(
    readonly bounds: {
      sessionsMax: number;
      sessionIdleMsMax: number;
      batchesPerSessionMax: number;
    },
  ) {}

  get revision(): number {
    return this.snapshots.length - 1;
  }

  get latest(): Snapshot {
    return this.snapshots[this.revision] ?? new Map();
  }

  noop(): void {
    this.index += 1;
  }

  command(timeMs: number, batches: readonly ModelBatch[]): string[] {
    this.index += 1;
    this.timeMs = Math.max(this.timeMs, timeMs);
    while (this.#oldestIsIdle()) this.#forgetOldest();
    return batches.map((one) => this.#batch(one));
  }

  #oldestIsIdle(): boolean {
    const oldest = this.sessions[0];
    return oldest !== undefined && this.timeMs - oldest.activeMs > this.bounds.sessionIdleMsMax;
  }

  #forgetOldest(): void {
    const gone = this.sessions.shift();
    this.forgottenThrough = Math.max(this.forgottenThrough, gone?.activeIndex ?? 0);
  }

  #batch(one: ModelBatch): string {
    let found = this.sessions.find((each) => each.id === one.id);
    if (found === undefined) {
      if (one.bornIndex < this.forgottenThrough) return 'SESSION_EXPIRED not-applied';
      if (one.sequence !== 1) return 'SESSION_GAP not-applied';
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
    if (one.sequence > found.last + 1) return 'SESSION_GAP not-applied';
    const again = one.sequence <= found.last;
    if (again && !found.answers.has(one.sequence)) return 'SESSION_EXPIRED unknown';
    if (!again) this.#applyNew(found, one);
    const answer = found.answers.get(one.sequence);
    this.#touch(found, one);
    return again ? `again ${answer}` : `${answer}`;
  }

  #applyNew(session: ModelSession, one: ModelBatch): void {
    session.last = one.sequence;
    const words = one.operations.map((operation) => {
      const result = this.#operation(operation);
      if (result.type === 'put') return `put@${result.revision}`;
      return result.type === 'delete'
        ? `delete@${result.revision}:${result.deleted}`
        : JSON.stringify(result);
    });
    session.answers.set(one.sequence, words.join(' '));
  }

  #touch(session: ModelSession, one: ModelBatch): void {
    const through = Math.min(one.acknowledged, one.sequence - 1);
    session.acknowledged = Math.max(session.acknowledged, through);
    for (const sequence of [...session.answers.keys()]) {
      const tooOld = sequence <= session.last - this.bounds.batchesPerSessionMax;
      if (sequence <= session.acknowledged || tooOld) session.answers.delete(sequence);
    }
    session.activeIndex = this.index;
    session.activeMs = this.timeMs;
    this.sessions = [...this.sessions.filter((each) => each !== session), session];
  }

  #operation(operation: WriteOperation): WriteResult {
    if (operation.type !== 'put' && operation.type !== 'delete') {
      throw new Error(`the model does not know ${operation.type}`);
    }
    const key = Buffer.from(operation.key).toString();
    const before = this.latest.get(key);
    if (operation.type === 'delete' && before === undefined) {
      return { type: 'delete', revision: this.revision, deleted: 0 };
    }
    const next = new Map(this.latest);
    const revision = this.revision + 1;
    this.snapshots.push(next);
    if (operation.type === 'delete') {
      next.delete(key);
      return { type: 'delete', revision, deleted: 1 };
    }
    next.set(key, {
      value: Buffer.from(operation.value ?? '').toString(),
      create: before?.create ?? revision,
      mod: revision,
      version: (before?.version ?? 0) + 1,
    });
    return { type: 'put', revision };
  }
}
