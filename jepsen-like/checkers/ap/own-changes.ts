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

/** What replicas have acknowledged themselves: each shows it from then on, merged or not, as long as it keeps its disk. */
export class OwnChanges {
  readonly #byNode = new Map<string, { readonly changes: Once[]; readonly ends: number[] }>();
  readonly #disks: Disks;

  /** Keys that were asked for more than once are left out: which of the calls counts is not known. */
  constructor(changes: Iterable<Once>, disks: Disks) {
    this.#disks = disks;
    const certain = [...changes]
      .filter(({ calls }) => calls.length === 1 && calls[0]?.outcome === 'ok')
      .sort((a, b) => endOf(a) - endOf(b));
    for (const change of certain) {
      const node = change.calls[0]?.invoke.node;
      if (node === undefined) continue;
      const own = this.#byNode.get(node) ?? { changes: [], ends: [] };
      this.#byNode.set(node, own);
      own.changes.push(change);
      own.ends.push(endOf(change));
    }
  }

  /** Those that the replica of this read had acknowledged when it was asked. */
  before({ invoke: { node }, begin, end }: Call): readonly Once[] {
    const own = node === undefined ? undefined : this.#byNode.get(node);
    if (own === undefined || node === undefined || !this.#disks.isKept(node, end)) return [];
    return own.changes.slice(0, countBelow(own.ends, begin));
  }
}

function endOf({ calls }: Once): number {
  return (calls[0] as Call).end;
}
