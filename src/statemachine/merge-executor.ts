import { toMapKey } from '../base/bytes.js';
import { Cell, cellKey } from '../base/cell.js';
import { AP_PASTS, CALLS_ACROSS_MODES } from '../base/command-versions.js';
import { type ChangeStamp, callNameOf, type Delta } from '../base/delta.js';
import { BalsaError } from '../base/errors.js';
import type { TxnStep } from '../base/operation.js';
import type { CallKeys } from './call-keys.js';
import type { Executor } from './executor.js';
import { isLive, type Keyspace } from './keyspace.js';
import { type Merges, mergesFull } from './merges.js';
import type { ParsedCommand } from './parsed-command.js';
import { Refusal } from './refusal.js';
import type { BatchAnswer, ParsedMerge } from './types.js';

export interface MergeExecutorParts {
  readonly keyspace: Keyspace;
  readonly executor: Executor;
  readonly merges: Merges;
  readonly callKeys: CallKeys;
}

const NO_RESULTS = new Uint8Array(0);

/**
 * Merges deltas into the cells: those of each origin in order, each once, and of those with the same idempotency key the first
 * one. All that one command merges comes into being at one revision, or nothing does. What comes of it depends on the log
 * alone.
 */
export class MergeExecutor {
  readonly #parts: MergeExecutorParts;

  constructor(parts: MergeExecutorParts) {
    this.#parts = parts;
  }

  apply(merge: ParsedMerge, entry: Pick<ParsedCommand, 'version' | 'wallMs'>): BatchAnswer {
    const { merges } = this.#parts;
    const { version } = entry;
    for (const report of merge.reports) merges.report(report, version);
    const turn = this.#turnOf(merge.deltas);
    const members = new Set(merge.members);
    const counted = this.#counted(turn, version);
    try {
      if (counted.length > 0 && !merges.hasRoom(merge, turn, version)) throw mergesFull();
      const revision = this.#write(counted, merges.originsOf(members), version);
      for (const delta of turn) merges.advance(delta);
      for (const delta of counted) merges.record(delta, revision, entry);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      // Else there would never be room again: it is tried with what is full.
      this.#forgetOld(merge, version);
      return { ok: false, error };
    }
    // Behind the deltas: what a member says of its queue holds once they are merged.
    for (const report of merge.reports) merges.report(report, version);
    this.#forgetOld(merge, version);
    return { ok: true, results: NO_RESULTS, repeated: false };
  }

  #forgetOld({ members }: ParsedMerge, version: number): void {
    const { merges, callKeys } = this.#parts;
    const through = merges.forgetOld(members, version);
    // Its name may stand for code of mode `cp` when a call is asked for again.
    if (version >= AP_PASTS) callKeys.forgotThrough(through);
  }

  /** Those whose turn it is: others were merged before, or come too early. */
  #turnOf(deltas: readonly (Delta | BalsaError)[]): readonly Delta[] {
    const through = new Map<string, number>();
    return deltas.filter((delta): delta is Delta => {
      // The leader has read it before: nobody has made such a thing.
      if (delta instanceof BalsaError) return false;
      const { origin, sequence } = delta;
      const before = through.get(origin) ?? this.#parts.merges.through(origin);
      if (sequence !== before + 1) return false;
      through.set(origin, sequence);
      return true;
    });
  }

  /** Calls that count: the same one may have been made at other replicas, also while its name stood for one of mode `cp`. */
  #counted(deltas: readonly Delta[], version: number): readonly Delta[] {
    const { merges, callKeys } = this.#parts;
    const seen = new Set<string>();
    const looks = version >= CALLS_ACROSS_MODES && callKeys.size > 0;
    return deltas.filter(({ key }) => {
      const name = toMapKey(key);
      if (seen.has(name) || merges.find(key) !== null) return false;
      if (looks && callKeys.find(key) !== null) return false;
      seen.add(name);
      return true;
    });
  }

  /**
   * @returns the revision of the cells that have changed, or of the store when none has
   * @throws Refusal what puts are refused with
   */
  #write(deltas: readonly Delta[], origins: readonly string[], version: number): number {
    const { keyspace, executor } = this.#parts;
    const cells = this.#changed(deltas, origins, version);
    if (cells.size === 0) return keyspace.revision;
    const steps = [...cells].map(([key, cell]): TxnStep => {
      return { type: 'put', key: cellKey(key), value: cell.encode() };
    });
    executor.beginBatch();
    const result = executor.write({ type: 'txn', compares: [], success: steps, failure: [] });
    if (result.type === 'error') throw Refusal.of(result);
    return keyspace.revision;
  }

  #changed(
    deltas: readonly Delta[],
    origins: readonly string[],
    version: number,
  ): Map<string, Cell> {
    const cells = new Map<string, Cell>();
    const changed = new Map<string, Cell>();
    for (const delta of deltas) {
      const call = callNameOf(delta, version);
      delta.writes.forEach(({ key, change }, place) => {
        const cell = cells.get(key) ?? this.#cellAt(key) ?? Cell.empty(change.cell);
        cells.set(key, cell);
        // One that has no effect was made where another cell was seen, or rights that were deleted with it.
        if (cell.apply(change, stampOf(delta, call, place), { origins })) changed.set(key, cell);
      });
    }
    return changed;
  }

  #cellAt(key: string): Cell | null {
    const { keyspace } = this.#parts;
    const target = keyspace.target(cellKey(key));
    return isLive(target) ? Cell.decode(keyspace.valueOf(target)) : null;
  }
}

export function stampOf(delta: Delta, call: string, place: number): ChangeStamp {
  const { origin, timeMs, count } = delta;
  return { origin, call, timeMs, count, place };
}
