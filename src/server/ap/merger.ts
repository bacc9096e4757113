import type { BalsaError } from '../../base/errors.js';
import type { Limits } from '../../base/limits.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { MergeCommand, OriginReport } from '../../statemachine/types.js';
import type { HeldDelta } from '../../storage/delta-queue.js';

export interface MergerOptions {
  readonly limits: Limits;
  readonly machine: () => StateMachine;
  readonly monotonicMs: () => number;
  /** It leads, and all members know of merges. */
  readonly canMerge: () => boolean;
  /** Entries have it noted when a member has copies of something older than it said before. */
  readonly canLower: () => boolean;
  /** All that there are. */
  readonly members: () => readonly string[];
  readonly reports: () => readonly OriginReport[];
  /** Those that are durable and not merged, in an order in which none comes before what it had seen. */
  readonly durable: () => Iterable<HeldDelta>;
  /** `null`: it was merged. */
  readonly propose: (merge: MergeCommand, done: (error: BalsaError | null) => void) => void;
}

/** Changes of cells in one entry, and deltas. */
const WRITES_MAX = 20_000;
const DELTAS_MAX = 2000;
/** What members say is noted this often at most, unless it is the first that they say. */
const REPORT_MS = 10_000;
/** After a refusal (the store is full) it is tried again so much later. */
const REFUSED_MS = 1000;

/** The leader's part: what it holds goes into the log, one entry at a time. */
export class Merger {
  readonly #options: MergerOptions;
  #isUnderWay = false;
  #notBeforeMs = 0;
  /** By origin the oldest that was said of a queue and could not be noted yet: while more is made all the time, the newest never could. */
  readonly #words = new Map<string, OriginReport>();
  /** Why the last one was not merged. */
  refusal: BalsaError | null = null;

  constructor(options: MergerOptions) {
    this.#options = options;
  }

  look(): void {
    const { canMerge, members, propose, monotonicMs, machine } = this.#options;
    if (this.#isUnderWay || !canMerge() || monotonicMs() < this.#notBeforeMs) return;
    const deltas = this.#deltas();
    const reports = this.#reports(deltas.length > 0);
    const present = members();
    const hasNews = deltas.length > 0 || reports.length > 0;
    if (!hasNews && !machine().merges.canForget(present)) return;
    this.#isUnderWay = true;
    propose({ members: present, reports, deltas }, (error) => {
      this.#isUnderWay = false;
      this.refusal = error;
      if (error === null) this.look();
      else this.#notBeforeMs = monotonicMs() + REFUSED_MS;
    });
  }

  /** Those whose turn it is: of one behind a gap the log makes nothing, and would be asked again as soon as it has said so. */
  #deltas(): Uint8Array[] {
    const deltas: Uint8Array[] = [];
    const through = new Map<string, number>();
    let bytesLeft = this.#options.limits.entryBytesMax / 2;
    let writesLeft = WRITES_MAX;
    for (const { bytes, delta } of this.#options.durable()) {
      const { origin, sequence } = delta;
      const before = through.get(origin) ?? this.#options.machine().mergedThrough(origin);
      if (sequence !== before + 1) continue;
      bytesLeft -= bytes.byteLength;
      writesLeft -= delta.writes.length;
      const isFull = bytesLeft < 0 || writesLeft < 0 || deltas.length >= DELTAS_MAX;
      if (isFull && deltas.length > 0) break;
      through.set(origin, sequence);
      deltas.push(bytes);
    }
    return deltas;
  }

  /** Those that tell the log something: whose queue it is, or that calls can be forgotten, or cannot any more. */
  #reports(hasDeltas: boolean): OriginReport[] {
    const machine = this.#options.machine();
    // Then it matters who is back, though his queue is not merged (`Merges.hasRoom`).
    const lacksRoom = hasDeltas && machine.merges.isFull;
    const canLower = this.#options.canLower();
    const known = new Map(machine.origins().map((state) => [state.origin, state]));
    const reports = this.#options.reports().map((said) => this.#fulfilled(said));
    return reports.filter(({ origin, member, sequence, timeMs }) => {
      const state = known.get(origin);
      if (state === undefined || state.member !== member) return true;
      if (machine.merges.size === 0) return false;
      if (timeMs < state.clearedMs) return canLower;
      const counts = sequence <= state.sequence || lacksRoom;
      return counts && timeMs - state.clearedMs >= REPORT_MS;
    });
  }

  /** Of what a member has said the newest, or an older word of which all is merged. */
  #fulfilled(said: OriginReport): OriginReport {
    const { origin, member, sequence, timeMs } = said;
    const through = this.#options.machine().mergedThrough(origin);
    const older = this.#words.get(origin);
    if (sequence <= through) {
      this.#words.delete(origin);
      return said;
    }
    if (older === undefined || older.member !== member) this.#words.set(origin, said);
    else if (older.sequence <= through) {
      this.#words.set(origin, said);
      // Meanwhile it may have got copies of what is older.
      return { ...older, timeMs: Math.min(older.timeMs, timeMs) };
    }
    return said;
  }
}
