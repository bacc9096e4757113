import type { LogIndex, MemberId } from './types.js';

interface Round {
  /** The end of the log when the round began: the round is over when the learner has this. */
  readonly targetIndex: LogIndex;
  readonly sinceTick: number;
}

/**
 * Which learners have nearly all of the log (thesis §4.2.1). Replication to a learner is seen as a
 * series of rounds; each sends all that was in the log when it began. A learner whose last round took
 * less than an election timeout would, as a voter, hold up commits no longer than an election does.
 */
export class CatchUps {
  readonly #electionTicks: number;
  readonly #rounds = new Map<MemberId, Round>();
  readonly #caughtUp = new Set<MemberId>();

  constructor(electionTicks: number) {
    this.#electionTicks = electionTicks;
  }

  has(member: MemberId): boolean {
    return this.#caughtUp.has(member);
  }

  /** Looks where a learner is. Called often: when an answer may have come, and with each tick. */
  look(
    member: MemberId,
    at: { readonly matchIndex: LogIndex; readonly lastIndex: LogIndex; readonly tick: number },
  ): void {
    const round = this.#rounds.get(member);
    if (round === undefined) {
      this.#rounds.set(member, { targetIndex: at.lastIndex, sinceTick: at.tick });
      return;
    }
    const ticks = at.tick - round.sinceTick;
    // A round that lasts too long takes back what an earlier one has shown.
    if (ticks >= this.#electionTicks) this.#caughtUp.delete(member);
    if (at.matchIndex < round.targetIndex) return;
    if (ticks < this.#electionTicks) this.#caughtUp.add(member);
    this.#rounds.set(member, { targetIndex: at.lastIndex, sinceTick: at.tick });
  }

  /** Keeps only these. */
  retain(members: readonly MemberId[]): void {
    for (const member of this.#rounds.keys()) {
      if (members.includes(member)) continue;
      this.#rounds.delete(member);
      this.#caughtUp.delete(member);
    }
  }
}
