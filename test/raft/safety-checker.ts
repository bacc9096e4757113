import type { RaftNode } from '../../src/raft/raft-node.js';
import type {
  Configuration,
  Entry,
  LogIndex,
  LogPosition,
  MemberId,
  Message,
  Ready,
  Term,
} from '../../src/raft/types.js';
import { haveDisjointQuorums, isQuorumOf, latestConfiguration } from './naive-quorums.js';
import type { SimulatedMember } from './simulated-member.js';

/**
 * The five properties of Figure 3, checked after every step, and those that they rest on: a promise
 * is on disk before it is sent, a leader has the votes of a quorum, what is committed is on the disks
 * of a quorum, configurations by which decisions are made at the same time have no disjoint quorums,
 * and no read index is older than what was committed when it was asked for.
 */
export class SafetyChecker {
  readonly #formed: Configuration;
  readonly #leaders = new Map<Term, MemberId>();
  /** By `index:term`, what stands there and what before it. */
  readonly #places = new Map<string, string>();
  /** By `member:term`, for whom it voted. */
  readonly #votes = new Map<string, MemberId>();
  /** What was committed anywhere, and in which term of the committing member. */
  readonly #committed: { entry: Entry; inTerm: Term }[] = [];
  /** By member, through where its commits were checked. */
  readonly #checkedCommit = new Map<MemberId, LogIndex>();
  /** By member that leads, its term and log when last looked at. */
  readonly #leaderLogs = new Map<MemberId, { term: Term; log: Entry[] }>();

  constructor(formed: Configuration) {
    this.#formed = formed;
  }

  /** How many configurations were committed. */
  get committedConfigurations(): number {
    return this.#committed.filter(({ entry }) => entry.type === 'configuration').length;
  }

  get committedIndex(): LogIndex {
    return this.#committed.length;
  }

  get committedEntries(): readonly Entry[] {
    return this.#committed.map((c) => c.entry);
  }

  started(member: SimulatedMember): void {
    this.#checkedCommit.set(member.id, 0);
    this.#leaderLogs.delete(member.id);
  }

  /** Log Matching: a place (index, term) holds one entry ever, and has one place before it. */
  registerEntries(entries: readonly Entry[], before: Entry | null): void {
    let previous = before;
    for (const entry of entries) {
      const key = `${entry.index}:${entry.term}`;
      const content = `${Buffer.from(entry.payload).toString()} after ${previous?.term ?? 0}`;
      const known = this.#places.get(key);
      if (known !== undefined && known !== content) {
        throw new Error(`Log Matching: at ${key} stand both "${known}" and "${content}"`);
      }
      this.#places.set(key, content);
      previous = entry;
    }
  }

  /** A snapshot through `position` takes the place of a log. */
  installed(member: MemberId, { index, term }: LogPosition): void {
    if (this.#committed[index - 1]?.entry.term !== term) {
      throw new Error(`${member} installs a snapshot through ${index}:${term}, never committed`);
    }
  }

  /** Called when messages leave a member: what they promise must be on its disk by now. */
  sent(member: SimulatedMember, messages: readonly Message[]): void {
    for (const message of messages) this.#checkPromise(member, message);
  }

  stepped(member: SimulatedMember, ready: Ready, all: readonly SimulatedMember[]): void {
    const { node } = member;
    if (node === null) return;
    for (const { member: follower, matchIndex, nextIndex } of node.progress) {
      if (nextIndex <= matchIndex) throw new Error(`nextIndex of ${follower} is not beyond match`);
    }
    if (node.role === 'leader') this.#checkLeader(member, node);
    else this.#leaderLogs.delete(member.id);
    this.#checkCommits(member, ready.commitIndex, node, all);
    if (ready.events.some(({ type }) => type === 'configuration')) this.#checkQuorums(all);
    for (const answer of ready.reads) {
      const committedThen = member.reads.get(answer.id);
      if (answer.ok && committedThen !== undefined && answer.index < committedThen) {
        throw new Error(`stale read at ${member.id}: index ${answer.index} < ${committedThen}`);
      }
    }
  }

  #checkPromise(member: SimulatedMember, message: Message): void {
    const { durable, id } = member;
    if (message.type === 'RequestVote' && !message.preVote) {
      this.#checkVote(member, message.term, id);
    }
    if (message.type === 'RequestVoteReply' && !message.preVote && message.granted) {
      this.#checkVote(member, message.term, message.to);
    }
    if (message.type !== 'RequestVote' && message.type !== 'RequestVoteReply') {
      if (durable.hardState.currentTerm < message.term && message.type !== 'ReadIndex') {
        throw new Error(`${id} speaks in term ${message.term}, which is not on its disk`);
      }
    }
    if (message.type !== 'AppendEntriesReply' || !message.result.success) return;
    const { matchIndex } = message.result;
    const isCurrent = durable.hardState.currentTerm === message.term;
    if (isCurrent && durable.entries.length < matchIndex) {
      throw new Error(
        `${id} acknowledges ${matchIndex}, its disk ends at ${durable.entries.length}`,
      );
    }
    for (let i = 0; isCurrent && i < matchIndex; i += 1) {
      if (member.pending.length === 0 && durable.entries[i]?.term !== member.log[i]?.term) {
        throw new Error(`${id} acknowledges ${matchIndex}, and its disk holds others`);
      }
    }
  }

  #checkVote(member: SimulatedMember, term: Term, candidate: MemberId): void {
    const voter = member.id;
    const { currentTerm, votedFor } = member.durable.hardState;
    if (currentTerm < term || (currentTerm === term && votedFor !== candidate)) {
      throw new Error(`the vote of ${voter} for ${candidate} in term ${term} is not on its disk`);
    }
    const key = `${voter}:${term}`;
    const before = this.#votes.get(key);
    if (before !== undefined && before !== candidate) {
      throw new Error(`${voter} votes in term ${term} for ${before} and for ${candidate}`);
    }
    this.#votes.set(key, candidate);
  }

  #checkLeader(member: SimulatedMember, node: RaftNode): void {
    const { id, log } = member;
    const { term } = node;
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== id) {
      throw new Error(`Election Safety: ${other} and ${id} lead term ${term}`);
    }
    if (other === undefined) {
      const votesFor = (voter: MemberId): boolean =>
        voter === id || this.#votes.get(`${voter}:${term}`) === id;
      if (!isQuorumOf(node.configuration, votesFor)) {
        throw new Error(`${id} leads term ${term} without the votes of a quorum`);
      }
    }
    this.#leaders.set(term, id);

    const before = this.#leaderLogs.get(id);
    if (before?.term === term) {
      if (before.log.some((entry, i) => log[i] !== entry)) {
        throw new Error(`Leader Append-Only: ${id} changed its log in term ${term}`);
      }
      if (log.length === before.log.length) return;
    } else {
      for (const { entry, inTerm } of this.#committed) {
        if (inTerm < term && log[entry.index - 1]?.term !== entry.term) {
          throw new Error(
            `Leader Completeness: ${id} leads term ${term} without committed entry ` +
              `${entry.index}:${entry.term}`,
          );
        }
      }
    }
    this.#leaderLogs.set(id, { term, log: [...log] });
  }

  #checkCommits(
    member: SimulatedMember,
    commitIndex: LogIndex,
    node: RaftNode,
    all: readonly SimulatedMember[],
  ): void {
    const { term } = node;
    const from = this.#checkedCommit.get(member.id) ?? 0;
    if (node.role === 'leader' && commitIndex > from && from > 0) {
      const last = member.log[commitIndex - 1];
      if (last?.term !== term) throw new Error(`${member.id} commits an old term by counting`);
    }
    if (commitIndex < from) throw new Error(`${member.id} takes back its commit index`);
    for (let index = from + 1; index <= commitIndex; index += 1) {
      const entry = member.log[index - 1];
      if (entry === undefined) throw new Error(`${member.id} commits ${index} without having it`);
      const known = this.#committed[index - 1];
      if (known === undefined) {
        this.#committed.push({ entry, inTerm: term });
        this.#checkStored(entry, all, member.configuration ?? node.configuration);
      } else if (known.entry.term !== entry.term) {
        throw new Error(
          `State Machine Safety: ${member.id} applies ${index}:${entry.term}, ` +
            `another applied ${index}:${known.entry.term}`,
        );
      }
    }
    this.#checkedCommit.set(member.id, commitIndex);
  }

  #checkStored(entry: Entry, all: readonly SimulatedMember[], configuration: Configuration): void {
    const holders = all
      .filter((m) => m.durable.entries[entry.index - 1]?.term === entry.term)
      .map((m) => m.id);
    if (!isQuorumOf(configuration, (member) => holders.includes(member))) {
      throw new Error(
        `entry ${entry.index}:${entry.term} is committed and on the disks of ${holders.join(' ')} only`,
      );
    }
  }

  /**
   * Whoever has the latest committed configuration in its log may yet be elected, by the configuration
   * that is in effect in that log: of these, no two may be able to decide apart from each other.
   */
  #checkQuorums(all: readonly SimulatedMember[]): void {
    const latest = this.#committed.findLast(({ entry }) => entry.type === 'configuration')?.entry;
    const inEffect = new Map<string, Configuration>();
    for (const { node, log, durable } of all) {
      const entries = node === null ? durable.entries : log;
      if (latest !== undefined && entries[latest.index - 1]?.term !== latest.term) continue;
      const configuration = latestConfiguration(entries) ?? this.#formed;
      inEffect.set(
        JSON.stringify([configuration.voters, configuration.votersOutgoing]),
        configuration,
      );
    }
    const list = [...inEffect.values()];
    for (const [at, a] of list.entries()) {
      for (const b of list.slice(at + 1)) {
        if (!haveDisjointQuorums(a, b)) continue;
        throw new Error(
          `Quorum Intersection: ${[...inEffect.keys()].join(' and ')} may decide at the same time`,
        );
      }
    }
  }
}
