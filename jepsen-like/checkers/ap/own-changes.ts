import type { FaultRecord } from '../../history/operation.js';
import type { Call } from '../calls.js';
import { type FaultWindow, lossesOf, windowsOf } from '../fault-windows.js';
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
 * Which replicas have the disks that they began with, and when. Where the faults tell themselves from when to when a replica may lack data
 * ({@link lossesOf}), that alone counts. Else what a damaged disk comes to may be seen long after the fault, so that it counts for the
 * rest of the run.
 */
export class Disks {
  readonly #losses: readonly FaultWindow[];
  /** Reads at replicas that had acknowledged something; and those of them that had to show something of it. */
  eligible = 0;
  compared = 0;

  constructor(faults: readonly FaultRecord[]) {
    const told = lossesOf(faults);
    const feared = windowsOf(faults)
      .filter(({ fault }) => LOSES_DISK.test(fault))
      .map((window) => ({ ...window, end: Number.POSITIVE_INFINITY }));
    this.#losses = told.length > 0 ? told : feared;
  }

  /** @returns on which of its disks, one after the other, a replica did that; `null`: that is not certain */
  diskOf(node: string, begin: number, end: number): number | null {
    const before = this.#losses.filter(
      (loss) => loss.begin <= end && (loss.nodes.length === 0 || loss.nodes.includes(node)),
    );
    return before.every((loss) => loss.end < begin) ? before.length : null;
  }

  /** So few were compared that nothing is shown; `null`: it is. */
  get doubt(): string | null {
    const { eligible, compared } = this;
    if (eligible < ELIGIBLE_MIN || compared * COMPARED_SHARE >= eligible) return null;
    return `of ${eligible} reads only ${compared} were at a replica on the disk on which it had acknowledged changes`;
  }
}

const ELIGIBLE_MIN = 50;
/** One of so many at least is to be compared. */
const COMPARED_SHARE = 10;

/** Sums of what a replica had acknowledged, after each of its changes. */
interface Own {
  readonly changes: Once[];
  readonly ends: number[];
  readonly ups: number[];
  readonly downs: number[];
}

/** What replicas have acknowledged themselves: each shows it from then on, merged or not, as long as it keeps its disk. */
export class OwnChanges {
  /** By replica and disk. */
  readonly #byDisk = new Map<string, Own>();
  /** By replica: the end of the first that it acknowledged. */
  readonly #firstEnds = new Map<string, number>();
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
      const { invoke, begin, end } = change.calls[0] as Call;
      if (invoke.node === undefined) continue;
      if (!this.#firstEnds.has(invoke.node)) this.#firstEnds.set(invoke.node, end);
      const disk = disks.diskOf(invoke.node, begin, end);
      if (disk === null) continue;
      const name = nameOf(invoke.node, disk);
      const own = this.#byDisk.get(name) ?? { changes: [], ends: [], ups: [], downs: [] };
      this.#byDisk.set(name, own);
      own.changes.push(change);
      own.ends.push(end);
      const amount = amountOf(change);
      own.ups.push((own.ups.at(-1) ?? 0) + Math.max(amount, 0));
      own.downs.push((own.downs.at(-1) ?? 0) + Math.min(amount, 0));
    }
  }

  /** Counts whether a read can be held against what its replica had acknowledged. */
  count(read: Call): void {
    const { node = '' } = read.invoke;
    if ((this.#firstEnds.get(node) ?? Number.POSITIVE_INFINITY) >= read.begin) return;
    this.#disks.eligible += 1;
    const own = this.#of(read);
    if (own !== null && countBelow(own.ends, read.begin) > 0) this.#disks.compared += 1;
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

  #of({ invoke: { node }, begin, end }: Call): Own | null {
    const disk = node === undefined ? null : this.#disks.diskOf(node, begin, end);
    return node === undefined || disk === null
      ? null
      : (this.#byDisk.get(nameOf(node, disk)) ?? null);
  }
}

function nameOf(node: string, disk: number): string {
  return `${node} ${disk}`;
}

function endOf({ calls }: Once): number {
  return (calls[0] as Call).end;
}
