import type { FaultRecord } from '../../history/operation.js';
import type { Call } from '../calls.js';
import { type FaultWindow, windowsOf } from '../fault-windows.js';
import { countBelow } from '../sorted.js';

/** All calls under one idempotency key on one cell: one of them counts. */
export interface Once {
  readonly id: string;
  readonly f: string;
  readonly value: unknown;
  readonly calls: Call[];
}

/** Behind these a replica may have another disk, or another replica its name. */
const LOSES_DISK = /^(?:disk-(?:flip|helix|rollback|wipe)|member)/;

/**
 * Which replicas have the disks that they began with, and when. What a damaged disk comes to may be seen long after the fault, so
 * that it counts for the rest of the run.
 */
export class Disks {
  readonly #windows: readonly FaultWindow[];

  constructor(faults: readonly FaultRecord[]) {
    this.#windows = windowsOf(faults).filter(({ fault }) => LOSES_DISK.test(fault));
  }

  isKept(node: string, until: number): boolean {
    return !this.#windows.some(
      ({ nodes, begin }) => begin <= until && (nodes.length === 0 || nodes.includes(node)),
    );
  }
}

/** Sums of what a replica had acknowledged, after each of its changes. */
interface Own {
  readonly changes: Once[];
  readonly ends: number[];
  readonly ups: number[];
  readonly downs: number[];
}

/** What replicas have acknowledged themselves: each shows it from then on, merged or not, as long as it keeps its disk. */
export class OwnChanges {
  readonly #byNode = new Map<string, Own>();
  readonly #disks: Disks;

  /**
   * Keys that were asked for more than once are left out: which of the calls counts is not known.
   * @param amountOf what a change adds to a number; negative: it takes it away
   */
  constructor(changes: Iterable<Once>, disks: Disks, amountOf: (change: Once) => number = () => 0) {
    this.#disks = disks;
    const certain = [...changes]
      .filter(({ calls }) => calls.length === 1 && calls[0]?.outcome === 'ok')
      .sort((a, b) => endOf(a) - endOf(b));
    for (const change of certain) {
      const node = change.calls[0]?.invoke.node;
      if (node === undefined) continue;
      const own = this.#byNode.get(node) ?? { changes: [], ends: [], ups: [], downs: [] };
      this.#byNode.set(node, own);
      own.changes.push(change);
      own.ends.push(endOf(change));
      const amount = amountOf(change);
      own.ups.push((own.ups.at(-1) ?? 0) + Math.max(amount, 0));
      own.downs.push((own.downs.at(-1) ?? 0) + Math.min(amount, 0));
    }
  }

  /** Those that the replica of this read had acknowledged when it was asked. */
  before(read: Call): readonly Once[] {
    const own = this.#of(read);
    return own === null ? [] : own.changes.slice(0, countBelow(own.ends, read.begin));
  }

  /** What those come to. */
  sumsBefore(read: Call): { readonly up: number; readonly down: number } {
    const own = this.#of(read);
    const last = own === null ? -1 : countBelow(own.ends, read.begin) - 1;
    return { up: own?.ups[last] ?? 0, down: own?.downs[last] ?? 0 };
  }

  #of({ invoke: { node }, end }: Call): Own | null {
    if (node === undefined || !this.#disks.isKept(node, end)) return null;
    return this.#byNode.get(node) ?? null;
  }
}

function endOf({ calls }: Once): number {
  return (calls[0] as Call).end;
}
