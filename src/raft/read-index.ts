import type { LogIndex, MemberId } from './types.js';

/** Who asked for a read index: a client of this member, or another member. */
export type ReadOrigin =
  | { readonly type: 'own'; readonly id: number }
  | { readonly type: 'member'; readonly member: MemberId; readonly request: number };

interface ReadBatch {
  readonly round: number;
  readonly index: LogIndex;
  readonly origins: readonly ReadOrigin[];
  /** How many of them are patient. */
  readonly patient: number;
}

/**
 * The reads that a leader has to answer (ReadIndex, thesis §6.4). All reads of one step share one
 * round of heartbeats. (term, round) is made here and never used twice, so that an answer to an
 * earlier round, delayed or doubled, confirms nothing that was asked later.
 */
export class ReadRounds {
  #round = 0;
  #size = 0;
  #patient = 0;
  #askedPatient = 0;
  /** Asked, and not yet part of a round. */
  #asked: ReadOrigin[] = [];
  #hurried = false;
  readonly #batches: ReadBatch[] = [];

  /** The latest round. */
  get round(): number {
    return this.#round;
  }

  /** Reads without an answer. */
  get size(): number {
    return this.#size;
  }

  /** Those of {@link size} that wait for the next heartbeats: no client waits for them. */
  get patient(): number {
    return this.#patient;
  }

  /** Somebody who has asked since the last round was started cannot wait for the next heartbeats. */
  get hurried(): boolean {
    return this.#hurried;
  }

  ask(origin: ReadOrigin, patient = false): void {
    if (patient) {
      this.#patient += 1;
      this.#askedPatient += 1;
    } else this.#hurried = true;
    this.#asked.push(origin);
    this.#size += 1;
  }

  /**
   * Starts a round for all reads that were asked since the last one, if any; they will be served at
   * `commitIndex`, which must hold an entry of the leader's own term: before that the leader does
   * not know what is committed (paper §8).
   */
  start(commitIndex: LogIndex): boolean {
    if (this.#asked.length === 0) return false;
    this.#round += 1;
    const patient = this.#askedPatient;
    this.#batches.push({ round: this.#round, index: commitIndex, origins: this.#asked, patient });
    this.#asked = [];
    this.#askedPatient = 0;
    this.#hurried = false;
    return true;
  }

  /** A round without reads of its own. */
  nextRound(): number {
    this.#round += 1;
    return this.#round;
  }

  /** A quorum confirmed `round`, and with it all before. Returns the reads that this answers. */
  confirm(round: number): readonly ReadBatch[] {
    let count = 0;
    while ((this.#batches[count]?.round ?? Number.POSITIVE_INFINITY) <= round) count += 1;
    if (count === 0) return [];
    const confirmed = this.#batches.splice(0, count);
    for (const { origins, patient } of confirmed) {
      this.#size -= origins.length;
      this.#patient -= patient;
    }
    return confirmed;
  }

  /** Takes out all reads without an answer, oldest first. */
  drain(): readonly ReadOrigin[] {
    const origins = [...this.#batches.flatMap((batch) => batch.origins), ...this.#asked];
    this.#batches.length = 0;
    this.#asked = [];
    this.#askedPatient = 0;
    this.#hurried = false;
    this.#size = 0;
    this.#patient = 0;
    return origins;
  }
}
