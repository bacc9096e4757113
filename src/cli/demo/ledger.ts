import { createHash } from 'node:crypto';
import { assert } from '../../base/assert.js';
import type { WriteOutcome } from '../../base/errors.js';

/** One put that was asked for. */
export interface Write {
  readonly key: string;
  readonly round: number;
  readonly valueHash: string;
  /** Highest revision that had been acknowledged when it was asked for; its own must be higher. */
  readonly floor: number;
  state: 'pending' | 'acknowledged' | 'unknown' | 'not-applied';
  /** Where it was put, once acknowledged; 0 before. */
  revision: number;
}

export interface LedgerCounts {
  readonly issued: number;
  readonly acknowledged: number;
  readonly unknown: number;
  readonly notApplied: number;
  /** Acknowledged at a revision that is not above all that had been acknowledged before. */
  readonly misordered: number;
}

/**
 * What the client was told about each of its writes: the yardstick for what the replicas hold.
 * It is kept apart from the store and knows nothing of how the store works.
 */
export class Ledger {
  /** Writes of each key in the order in which they were asked for. */
  readonly #writes = new Map<string, Write[]>();
  readonly #misordered: Write[] = [];
  #acknowledgedRevision = 0;
  #issued = 0;
  #acknowledged = 0;
  #unknown = 0;
  #notApplied = 0;

  get counts(): LedgerCounts {
    return {
      issued: this.#issued,
      acknowledged: this.#acknowledged,
      unknown: this.#unknown,
      notApplied: this.#notApplied,
      misordered: this.#misordered.length,
    };
  }

  get keys(): readonly string[] {
    return [...this.#writes.keys()];
  }

  get misordered(): readonly Write[] {
    return this.#misordered;
  }

  writesOf(key: string): readonly Write[] {
    return this.#writes.get(key) ?? [];
  }

  issue(key: string, round: number, value: string): Write {
    const write: Write = {
      key,
      round,
      valueHash: hashOf(value),
      floor: this.#acknowledgedRevision,
      state: 'pending',
      revision: 0,
    };
    const list = this.#writes.get(key);
    if (list === undefined) this.#writes.set(key, [write]);
    else list.push(write);
    this.#issued += 1;
    return write;
  }

  acknowledge(write: Write, revision: number): void {
    assert(write.state === 'pending', 'a write has one outcome');
    write.state = 'acknowledged';
    write.revision = revision;
    this.#acknowledged += 1;
    // Revisions are the order of the one log. What was asked for after an answer had come must
    // stand behind that answer's write: real-time order.
    if (revision <= write.floor) this.#misordered.push(write);
    this.#acknowledgedRevision = Math.max(this.#acknowledgedRevision, revision);
  }

  fail(write: Write, outcome: WriteOutcome): void {
    assert(write.state === 'pending', 'a write has one outcome');
    write.state = outcome;
    if (outcome === 'unknown') this.#unknown += 1;
    else this.#notApplied += 1;
  }
}

export function hashOf(value: string | Uint8Array): string {
  return createHash('sha256').update(value).digest('base64url');
}
