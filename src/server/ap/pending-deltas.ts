import { equalBytes, toMapKey } from '../../base/bytes.js';
import { Cell, cellKey } from '../../base/cell.js';
import { compareTexts } from '../../base/cell-values.js';
import {
  type CellChange,
  type CellWrite,
  type ChangeStamp,
  callNameOf,
  type Delta,
  type HybridTime,
} from '../../base/delta.js';
import { packDelta } from '../../base/delta-codec.js';
import { stampOf } from '../../statemachine/merge-executor.js';
import type { CountedCall } from '../../statemachine/merges.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { DeltaQueue, HeldDelta } from '../../storage/delta-queue.js';

/** A delta that is held here and not merged in the state as it is here. */
export interface PendingDelta extends HeldDelta {
  /** Rises along the list. */
  readonly order: number;
  /** In the queue; 0: it was there when that was opened. */
  readonly position: number;
  readonly isOwn: boolean;
  /** When it came to be held here; on the monotonic clock. */
  readonly heldMs: number;
}

/** What a cell looks like here. */
interface View {
  /** Of what is merged; 0: nothing. */
  readonly modRevision: number;
  /** With so many of the pending deltas of the cell. */
  applied: number;
  readonly cell: Cell;
  bytes: Uint8Array | null;
}

/** Views that are kept; they can be made again. */
const VIEWS_MAX = 10_000;

export interface PendingDeltasOptions {
  readonly queue: DeltaQueue;
  /** Another one when a snapshot takes its place. */
  readonly machine: () => StateMachine;
  readonly monotonicMs: () => number;
  /** The own disk has the log through this index, and that it is committed. */
  readonly isKept: (index: number) => boolean;
}

/**
 * The deltas that a replica holds, its own and copies of others', in an order in which each comes behind all that it had
 * seen; and the cells as they look with those that are not merged yet. What was merged is seen in the state, and no more here.
 */
export class PendingDeltas {
  readonly #options: PendingDeltasOptions;
  #list: PendingDelta[] = [];
  /** Infinity: there is none; `null`: it is to be looked for. */
  #oldestCopyMs: number | null = Number.POSITIVE_INFINITY;
  #order = 0;
  /** Those that count, by cell. */
  readonly #byCell = new Map<string, Delta[]>();
  /** By idempotency key (`toMapKey`): the one that counts. */
  readonly #byCall = new Map<string, PendingDelta>();
  /** Own ones that do not count here, as another one has their key. Which of both counts is for the log to say. */
  #undecided: Delta[] = [];
  /** By origin: the last one that is held, or was. */
  readonly #held = new Map<string, number>();
  readonly #views = new Map<string, View>();
  /** What was merged when it was last looked. */
  readonly #merged = new Map<string, number>();
  #trimmedIndex = -1;
  /** When more was merged last than the queue is to forget next; -1: nothing. */
  #mergedIndex = -1;
  /** Merged at this index, by origin: the queue is to forget it. */
  #toForget: { readonly index: number; readonly merged: ReadonlyMap<string, number> } | null = null;
  #machine: StateMachine | null = null;
  #ownBytes = 0;

  constructor(options: PendingDeltasOptions) {
    this.#options = options;
    for (const held of options.queue.held) {
      this.#take(held, { position: 0, isMerged: this.#isMerged(held) });
    }
  }

  get origin(): string {
    return this.#options.queue.origin;
  }

  /** Not merged yet, in order. */
  get list(): readonly PendingDelta[] {
    this.#trim();
    return this.#list;
  }

  /** What own ones take that are not merged yet. */
  get ownBytes(): number {
    this.#trim();
    return this.#ownBytes;
  }

  /** When the oldest copy was made that is held here and not merged; Infinity: there is none. */
  get oldestCopyMs(): number {
    this.#trim();
    // Each time anew it would cost a replica that is cut off, and holds many, more than all of its calls.
    this.#oldestCopyMs ??= this.#list.reduce(earlierCopyMs, Number.POSITIVE_INFINITY);
    return this.#oldestCopyMs;
  }

  /** Up to here all deltas of the origin are held here, or merged. */
  through(origin: string): number {
    return Math.max(this.#held.get(origin) ?? 0, this.#options.machine().mergedThrough(origin));
  }

  /** By origin: what others need not send. */
  vector(): Map<string, number> {
    const vector = new Map(
      this.#options
        .machine()
        .origins()
        .map((o) => [o.origin, o.sequence]),
    );
    for (const [origin, sequence] of this.#held) {
      if (sequence > (vector.get(origin) ?? 0)) vector.set(origin, sequence);
    }
    return vector;
  }

  /** The call under this key that waits to be merged, if there is one. */
  call(key: Uint8Array): PendingDelta | null {
    this.#trim();
    return this.#byCall.get(toMapKey(key)) ?? null;
  }

  /** Makes the next own delta. */
  make(parts: Omit<Delta, 'origin' | 'sequence'>): PendingDelta {
    const { queue } = this.#options;
    const { origin } = queue;
    const delta = { origin, sequence: queue.lastSequence(origin) + 1, ...parts };
    return this.add({ delta, bytes: packDelta(delta) });
  }

  /** The next one of its origin. */
  add({ delta: given, bytes }: HeldDelta): PendingDelta {
    this.#trim();
    // Views of a whole frame of a client, or of a member, would keep that.
    const key = Uint8Array.from(given.key);
    const delta = { ...given, key, fingerprint: Uint8Array.from(given.fingerprint) };
    const held = { delta, bytes };
    // The store may fail to tell. What is in the queue counts, so that is asked first.
    const isMerged = this.#isMerged(held);
    return this.#take(held, { position: this.#options.queue.append(held), isMerged });
  }

  /** The cell as it looks here, as `Cell.encode` gives it; `null`: there is nothing. */
  cell(key: string): Uint8Array | null {
    const view = this.#view(key);
    if (view === null) return null;
    view.bytes ??= view.cell.encode();
    return view.bytes;
  }

  /** All of the changes could be made here and now. */
  allows(writes: readonly CellWrite[], time: HybridTime): boolean {
    const cells = new Map<string, Cell>();
    const { origin } = this;
    return writes.every(({ key, change }, place) => {
      const cell = cells.get(key) ?? this.#view(key)?.cell.clone() ?? Cell.empty(change.cell);
      cells.set(key, cell);
      const stamp: ChangeStamp = { origin, call: '', place, ...time };
      return cell.apply(change, stamp, null);
    });
  }

  /** It is an escrow counter of which this replica has less than half of its share. */
  isShortOfRights(key: string): boolean {
    const view = this.#view(key);
    if (view === null || view.cell.type !== 'escrow') return false;
    const value = Number(JSON.parse(view.cell.view()));
    const members = this.#options
      .machine()
      .origins()
      .filter(({ member }) => member !== '').length;
    return members > 1 && view.cell.rightsOf(this.origin) * 2 * members < value;
  }

  /** Half of what this replica has more than the other one; 0 while it gives already. */
  rightsToSpare(key: string, origin: string): number {
    const view = this.#view(key);
    if (view === null || view.cell.type !== 'escrow') return 0;
    const gives = (this.#byCell.get(key) ?? []).some(
      (delta) =>
        delta.origin === this.origin &&
        delta.writes.some((write) => write.key === key && isGift(write.change)),
    );
    const more = view.cell.rightsOf(this.origin) - view.cell.rightsOf(origin);
    return gives ? 0 : Math.max(0, Math.floor(more / 2));
  }

  // -------------------------------------------------------------------------------------------

  /** A call was merged: the one that waits here under the same key does not count. */
  #hasCounted({ key, origin, sequence }: CountedCall): void {
    this.#decided(key);
    const pending = this.#byCall.get(toMapKey(key));
    if (pending === undefined) return;
    const isSame = pending.delta.origin === origin && pending.delta.sequence === sequence;
    if (!isSame) this.#exclude(pending.delta);
  }

  /** Its call is, it may be as another delta. */
  #isMerged({ delta }: HeldDelta): boolean {
    return this.#options.machine().mergedCall(delta.key) !== null;
  }

  /** @param found where in the queue it is, and whether its call is merged */
  #take(held: HeldDelta, found: { position: number; isMerged: boolean }): PendingDelta {
    const { position, isMerged } = found;
    const { delta } = held;
    const isOwn = delta.origin === this.origin;
    const heldMs = this.#options.monotonicMs();
    this.#order += 1;
    const { bytes } = held;
    const order = this.#order;
    const pending: PendingDelta = { delta, bytes, order, position, isOwn, heldMs };
    this.#list.push(pending);
    if (isOwn) this.#ownBytes += bytes.byteLength;
    if (this.#oldestCopyMs !== null)
      this.#oldestCopyMs = earlierCopyMs(this.#oldestCopyMs, pending);
    this.#held.set(delta.origin, delta.sequence);
    this.#count(pending, isMerged);
    return pending;
  }

  /** Of those with the same key the first one counts: all who hold the same ones choose alike. */
  #count(pending: PendingDelta, isMerged: boolean): void {
    const { delta } = pending;
    const mapKey = toMapKey(delta.key);
    const other = this.#byCall.get(mapKey);
    if (other !== undefined) {
      const isLater = isBefore(other.delta, delta);
      this.#holdRights(isLater ? pending : other);
      if (isLater) return;
      this.#exclude(other.delta);
    } else if (isMerged) {
      return;
    }
    this.#byCall.set(mapKey, pending);
    for (const key of new Set(delta.writes.map((write) => write.key))) {
      const deltas = this.#byCell.get(key);
      if (deltas === undefined) this.#byCell.set(key, [delta]);
      else deltas.push(delta);
      const view = this.#views.get(key);
      if (view !== undefined) view.bytes = null;
    }
  }

  /** Whoever takes rights that came back, and the log counts what had taken them first, has taken none. */
  #holdRights({ delta, isOwn }: PendingDelta): void {
    if (!isOwn) return;
    this.#undecided.push(delta);
    for (const { key } of delta.writes) this.#views.delete(key);
  }

  /** The log has chosen: of two own ones, the one that counts is seen in the state, and rights of the other one are free. */
  #decided(callKey: Uint8Array): void {
    const left = this.#undecided.filter(({ key }) => !equalBytes(key, callKey));
    if (left.length === this.#undecided.length) return;
    for (const { key } of this.#undecided.flatMap(({ writes }) => writes)) this.#views.delete(key);
    this.#undecided = left;
  }

  #exclude(delta: Delta): void {
    this.#byCall.delete(toMapKey(delta.key));
    for (const { key } of delta.writes) {
      const left = (this.#byCell.get(key) ?? []).filter((one) => one !== delta);
      if (left.length === 0) this.#byCell.delete(key);
      else this.#byCell.set(key, left);
      this.#views.delete(key);
    }
  }

  #view(key: string): View | null {
    this.#trim();
    const merged = this.#options.machine().get(cellKey(key), null);
    const pending = this.#byCell.get(key) ?? [];
    const modRevision = merged?.modRevision ?? 0;
    let view = this.#views.get(key);
    if (view === undefined || view.modRevision !== modRevision || view.applied > pending.length) {
      const type = pending[0]?.writes.find((write) => write.key === key)?.change.cell;
      const found = merged === null ? null : Cell.decode(merged.value);
      const cell = found ?? (type === undefined ? null : Cell.empty(type));
      if (cell === null) return null;
      for (const delta of this.#undecided) holdRights(cell, key, delta);
      view = { modRevision, applied: 0, cell, bytes: null };
      this.#keep(key, view);
    }
    for (const delta of pending.slice(view.applied)) applyTo(view.cell, key, delta);
    view.applied = pending.length;
    return view;
  }

  #keep(key: string, view: View): void {
    if (this.#views.size >= VIEWS_MAX) this.#views.clear();
    this.#views.set(key, view);
  }

  /** What is merged in the state as it is now is pending no more. */
  #trim(): void {
    const machine = this.#options.machine();
    this.#forgetMerged();
    if (machine.appliedIndex === this.#trimmedIndex && machine === this.#machine) return;
    // Behind a snapshot nobody has told which calls were merged; from now on it is heard.
    const isNew = machine !== this.#machine;
    this.#machine = machine;
    if (isNew) machine.onCounted((call) => this.#hasCounted(call));
    this.#trimmedIndex = machine.appliedIndex;
    let hasChanged = isNew;
    for (const { origin, sequence } of machine.origins()) {
      if (this.#merged.get(origin) === sequence) continue;
      this.#merged.set(origin, sequence);
      hasChanged = true;
    }
    if (hasChanged) this.#dropMerged(isNew);
  }

  #dropMerged(isNew: boolean): void {
    const isMerged = ({ delta }: PendingDelta): boolean =>
      delta.sequence <= (this.#merged.get(delta.origin) ?? 0);
    const gone = this.#list.filter(isMerged);
    if (gone.length > 0) {
      this.#list = this.#list.filter((one) => !isMerged(one));
      this.#oldestCopyMs = null;
      for (const { isOwn, bytes } of gone) if (isOwn) this.#ownBytes -= bytes.byteLength;
    }
    const ownMerged = this.#merged.get(this.origin) ?? 0;
    this.#undecided = this.#undecided.filter(({ sequence }) => sequence > ownMerged);
    for (const cell of this.#forgetCalls(gone)) {
      const left = (this.#byCell.get(cell) ?? []).filter(
        ({ origin, sequence }) => sequence > (this.#merged.get(origin) ?? 0),
      );
      if (left.length === 0) this.#byCell.delete(cell);
      else this.#byCell.set(cell, left);
      this.#views.delete(cell);
    }
    if (isNew) this.#lookForMergedCalls();
    this.#mergedIndex = this.#trimmedIndex;
    this.#forgetMerged();
  }

  /**
   * Not before the own disk has the entries that have merged it: of a majority that is lost for good, this replica may be all that
   * is left, and what comes behind a gap is never merged. Nor before it has that they are committed: a restart would know of
   * neither, and serve calls, and lend rights of escrow counters again, as if they had never been.
   */
  #forgetMerged(): void {
    const { queue, isKept } = this.#options;
    if (this.#toForget !== null && isKept(this.#toForget.index)) {
      const { merged } = this.#toForget;
      this.#toForget = null;
      queue.trim((origin) => merged.get(origin) ?? 0);
    }
    if (this.#toForget !== null || this.#mergedIndex < 0) return;
    this.#toForget = { index: this.#mergedIndex, merged: new Map(this.#merged) };
    this.#mergedIndex = -1;
    this.#forgetMerged();
  }

  /** @returns the cells that they have changed */
  #forgetCalls(gone: readonly PendingDelta[]): Set<string> {
    const cells = new Set<string>();
    for (const one of gone) {
      const mapKey = toMapKey(one.delta.key);
      if (this.#byCall.get(mapKey) === one) this.#byCall.delete(mapKey);
      for (const { key } of one.delta.writes) cells.add(key);
    }
    return cells;
  }

  #lookForMergedCalls(): void {
    this.#views.clear();
    for (const { delta } of [...this.#byCall.values()]) {
      if (this.#options.machine().mergedCall(delta.key) !== null) this.#exclude(delta);
    }
  }
}

function earlierCopyMs(ms: number, { isOwn, delta }: PendingDelta): number {
  return isOwn ? ms : Math.min(ms, delta.timeMs);
}

function isGift(change: CellChange): boolean {
  return change.cell === 'escrow' && change.type === 'give';
}

function applyTo(cell: Cell, key: string, delta: Delta): void {
  const call = callNameOf(delta);
  delta.writes.forEach((write, place) => {
    // One that has no effect here will have none when it is merged.
    if (write.key === key) cell.apply(write.change, stampOf(delta, call, place), null);
  });
}

/** The rights that it has used are nobody's here; the value is as if it had not been made. */
function holdRights(cell: Cell, key: string, delta: Delta): void {
  const call = callNameOf(delta);
  delta.writes.forEach(({ key: own, change }, place) => {
    if (own !== key || change.cell !== 'escrow' || change.type === 'add') return;
    const { by } = change;
    const held: CellChange = { cell: 'escrow', type: 'give', by, to: delta.origin };
    cell.apply(held, stampOf(delta, call, place), null);
  });
}

function isBefore(a: Delta, b: Delta): boolean {
  const byTime = a.timeMs - b.timeMs || a.count - b.count;
  return (byTime || compareTexts(a.origin, b.origin)) < 0;
}
