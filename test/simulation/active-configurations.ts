import type { Configuration, LogPosition, MemberId, Term } from '../../src/raft/types.js';
import { disjointQuorums } from './quorums.js';

interface Written {
  readonly configuration: Configuration;
  /** Of its entry. */
  readonly term: Term;
}

/** The configurations of a cluster: the committed one, and all that were written behind it. */
export class ActiveConfigurations {
  readonly #everMembers = new Set<MemberId>();
  #committed: Written;
  #active: Written[];

  constructor(formed: Configuration) {
    this.#committed = { configuration: formed, term: 0 };
    this.#active = [this.#committed];
  }

  get committed(): Configuration {
    return this.#committed.configuration;
  }

  /** Those that somebody may act by. */
  get all(): readonly Configuration[] {
    return this.#active.map(({ configuration }) => configuration);
  }

  /** A configuration was committed that names it. */
  wasMember(member: MemberId): boolean {
    return this.#everMembers.has(member);
  }

  /**
   * A leader has written a configuration.
   * @param knows that the entry with this place is committed: of the present turn of the leader nobody else has heard yet
   * @returns which other one could decide at the same time and without it; `null`: none
   */
  written({ configuration, term }: Written, knows: (place: LogPosition) => boolean): string | null {
    const committed = this.#active
      .filter((one) => knows({ index: one.configuration.index, term: one.term }))
      .reduce((a, b) => (b.configuration.index > a.configuration.index ? b : a), this.#committed);
    // A leader of an earlier term than that of the committed one is elected no more, and commits nothing more: of each of its
    // quorums somebody is in the later term.
    const others = this.#active.filter(
      (other) =>
        other.configuration.index >= committed.configuration.index && other.term >= committed.term,
    );
    this.#active.push({ configuration, term });
    for (const other of others) {
      const split = disjointQuorums(other.configuration, configuration);
      if (split !== null) {
        return `${JSON.stringify(other.configuration)} of term ${other.term}: ${split}`;
      }
    }
    return null;
  }

  committedNow(configuration: Configuration, term: Term): void {
    const { voters, votersOutgoing, learners } = configuration;
    for (const member of [...voters, ...votersOutgoing, ...learners]) this.#everMembers.add(member);
    this.#committed = { configuration, term };
    this.#active = this.#active.filter(
      ({ configuration: { index } }) => index >= configuration.index,
    );
  }
}
