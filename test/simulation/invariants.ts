import { unpackConfiguration } from '../../src/raft/configuration-codec.js';
import type {
  Configuration,
  CoreEvent,
  DiskWrite,
  Entry,
  HardState,
  LogIndex,
  LogPosition,
  MemberId,
  Message,
  Role,
  Term,
} from '../../src/raft/types.js';
import type { RestoredLog } from '../../src/storage/log-store.js';
import { ActiveConfigurations } from './active-configurations.js';
import type { Coverage } from './coverage.js';
import { contentHash, entryKey } from './entry-identity.js';
import { MemberHistory } from './member-history.js';
import { disjointQuorums, isQuorum } from './quorums.js';
import { type Scheduler, Violation } from './scheduler.js';

/** What a member is at the end of a turn. */
export interface MemberView {
  readonly term: Term;
  readonly role: Role;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  /** It installs a snapshot: its state may be ahead of its log. */
  readonly isInstalling: () => boolean;
  readonly configuration: Configuration;
}

/** What a member is when it asks its disk for something. */
type MemberNow = Pick<MemberView, 'term' | 'role' | 'commitIndex'>;

interface Creation {
  readonly entry: Entry;
  readonly configuration: Configuration;
  readonly now: MemberNow;
}

interface Committed {
  readonly term: Term;
}

/** An entry that somebody has written once. */
interface Created {
  readonly hash: number;
  readonly previousTerm: Term;
  readonly configuration: Configuration | null;
}

/**
 * The safety properties of the paper's Figure 3, and what a correct shell adds to them, watched from
 * outside while a cluster runs. Whatever breaks one ends the run at the step that does it.
 */
export class Invariants {
  readonly #scheduler: Scheduler;
  readonly #coverage: Coverage;
  readonly #members = new Map<MemberId, MemberHistory>();
  readonly #leaders = new Map<Term, MemberId>();
  /** By {@link entryKey}. */
  readonly #created = new Map<number, Created>();
  /** The entry with index i at i - 1. */
  readonly #committed: Committed[] = [];
  /** State hash after the entry with index i at i - 1. */
  readonly #stateHashes: number[] = [];
  readonly #configurations: ActiveConfigurations;

  constructor(options: { scheduler: Scheduler; coverage: Coverage; formed: Configuration }) {
    this.#scheduler = options.scheduler;
    this.#coverage = options.coverage;
    this.#configurations = new ActiveConfigurations(options.formed);
  }

  get committedConfiguration(): Configuration {
    return this.#configurations.committed;
  }

  get activeConfigurations(): readonly Configuration[] {
    return this.#configurations.all;
  }

  /** A configuration was committed that names it. */
  wasMember(member: MemberId): boolean {
    return this.#configurations.wasMember(member);
  }

  #configurationCreated(
    member: MemberId,
    history: MemberHistory,
    { entry, configuration, now }: Creation,
  ): void {
    const split = this.#configurations.written(
      { configuration, term: entry.term },
      ({ index, term }) => index <= now.commitIndex && history.termAt(index) === term,
    );
    this.#check(
      split === null,
      () => `Quorum Intersection: ${member} writes ${show(configuration)} beside ${split}`,
    );
    this.#check(
      now.role !== 'leader' ||
        now.term !== entry.term ||
        history.termAt(now.commitIndex) === entry.term,
      () =>
        `Own Term First: ${member} writes ${show(configuration)} in term ${entry.term} and has committed no entry of it`,
    );
    const previous = history.configuration;
    const wasJoint = (previous?.votersOutgoing.length ?? 0) > 0;
    this.#coverage.count(
      `membership: ${isJoint(configuration) ? 'joint' : 'simple'} configuration`,
    );
    if (previous === null || !wasJoint || isJoint(configuration)) return;
    if (history.termAt(previous.index) === entry.term) return;
    this.#coverage.count('membership: joint configuration left by another leader');
  }

  get committedIndex(): LogIndex {
    return this.#committed.length;
  }

  history(member: MemberId): MemberHistory {
    const history = this.#members.get(member);
    if (history === undefined) throw new Error(`unknown member ${member}`);
    return history;
  }

  // ---------------------------------------------------------------- restart and disk

  /** The member starts with what its disk holds. */
  started(member: MemberId, restored: RestoredLog): void {
    const known = this.#members.get(member);
    if (known !== undefined) this.#checkPromisesKept(member, known, restored);
    const history = known ?? new MemberHistory((index) => this.#committed[index - 1]?.term ?? 0);
    this.#members.set(member, history);
    history.restart(restored);
    for (let index = history.base + 1; index <= history.lastIndex; index += 1) {
      const term = history.termAt(index);
      if (!this.#created.has(entryKey(index, term))) {
        this.#violated(
          `${member} restarts with entry ${index} of term ${term}, which nobody wrote`,
        );
      }
    }
  }

  /** What was acknowledged while it ran must be on the disk (Raft, Figure 2: persistent state). */
  #checkPromisesKept(member: MemberId, history: MemberHistory, restored: RestoredLog): void {
    const { promisedTerm, promisedVote, promisedMatch } = history;
    const { hardState } = restored;
    this.#check(
      hardState.currentTerm >= promisedTerm,
      () => `Durable Before Acknowledge: ${member} forgot term ${promisedTerm}: ${show(hardState)}`,
    );
    this.#check(
      hardState.currentTerm > promisedTerm ||
        promisedVote === null ||
        hardState.votedFor === promisedVote,
      () =>
        `Durable Before Acknowledge: ${member} forgot its vote for ${promisedVote}: ${show(hardState)}`,
    );
    const termBefore = history.termAt(promisedMatch);
    const holds =
      promisedMatch <= restored.logStart.index ||
      (promisedMatch <= restored.lastIndex && termIn(restored, promisedMatch) === termBefore);
    this.#check(
      holds,
      () =>
        `Durable Before Acknowledge: ${member} acknowledged entry ${promisedMatch} of term ${termBefore}` +
        ` and restarts with a log that ends at ${restored.lastIndex}`,
    );
  }

  /** The member asks its disk for this. */
  submitted(member: MemberId, write: DiskWrite, now: MemberNow): void {
    const history = this.history(member);
    if (write.hardState !== null) this.#checkHardState(member, history, write.hardState);
    for (const entry of write.entries) {
      if (entry.index <= history.lastIndex)
        this.#checkCut(member, history, { index: entry.index, now });
      this.#append(member, history, entry, now);
    }
  }

  #checkHardState(member: MemberId, history: MemberHistory, next: HardState): void {
    const last = history.submittedHardState;
    const sameTerm = next.currentTerm === last.currentTerm;
    this.#check(
      next.currentTerm > last.currentTerm ||
        (sameTerm && (last.votedFor === null || last.votedFor === next.votedFor)),
      () => `One Vote per Term: ${member} goes from ${show(last)} to ${show(next)}`,
    );
    history.submittedHardState = next;
  }

  #checkCut(
    member: MemberId,
    history: MemberHistory,
    { index, now }: { index: LogIndex; now: MemberNow },
  ): void {
    this.#coverage.count('log: uncommitted entries cut');
    this.#check(
      // One that has just lost it may: it is told behind the write.
      now.role !== 'leader' || history.leadingTerm !== now.term,
      () => `Leader Append-Only: ${member} leads and overwrites entry ${index}`,
    );
    const committed = this.#committed[index - 1];
    this.#check(
      index > history.base && (committed === undefined || committed.term !== history.termAt(index)),
      () => `Committed Is Immutable: ${member} cuts its log at ${index}, which is committed`,
    );
    history.cutFrom(index);
  }

  #append(member: MemberId, history: MemberHistory, entry: Entry, now: MemberNow): void {
    this.#check(
      entry.index === history.lastIndex + 1,
      () => `${member} leaves a gap before entry ${entry.index}`,
    );
    const previousTerm = history.termAt(entry.index - 1);
    this.#check(
      entry.term >= previousTerm,
      () =>
        `${member} writes entry ${entry.index} of term ${entry.term} behind one of term ${previousTerm}`,
    );
    const hash = contentHash(entry);
    const key = entryKey(entry.index, entry.term);
    const twin = this.#created.get(key);
    if (twin === undefined) {
      const configuration =
        entry.type === 'configuration' ? unpackConfiguration(entry.payload, entry.index) : null;
      this.#created.set(key, { hash, previousTerm, configuration });
      if (configuration !== null) {
        this.#configurationCreated(member, history, { entry, configuration, now });
      }
    } else {
      // By induction over the index: same entry and same predecessor's term, so same log before it.
      this.#check(
        twin.hash === hash && twin.previousTerm === previousTerm,
        () => `Log Matching: two different logs hold entry ${entry.index} of term ${entry.term}`,
      );
    }
    history.append(entry.term);
  }

  /** The disk says that this is durable. */
  durable(member: MemberId, write: DiskWrite): void {
    const isStale = this.history(member).madeDurable(write);
    if (isStale) this.#coverage.count('core: completion of a write that was cut meanwhile');
  }

  compacted(member: MemberId, position: LogPosition): void {
    const history = this.history(member);
    this.#coverage.count('log: compacted');
    this.#check(
      position.index <= this.#committed.length &&
        this.#committed[position.index - 1]?.term === position.term,
      () => `${member} compacts its log at ${show(position)}, which is not committed`,
    );
    history.compact(position.index);
  }

  /** A snapshot takes the place of the log. */
  reset(member: MemberId, position: LogPosition): void {
    const history = this.history(member);
    this.#coverage.count('log: reset behind a snapshot');
    this.#check(
      position.index <= this.#committed.length &&
        this.#committed[position.index - 1]?.term === position.term,
      () => `${member} begins its log at ${show(position)}, which is not committed`,
    );
    history.resetTo(position);
  }

  madeReset(member: MemberId, position: LogPosition): void {
    this.history(member).madeReset(position);
  }

  // ---------------------------------------------------------------- roles and messages

  told(member: MemberId, event: CoreEvent): void {
    if (event.type !== 'role') return;
    const history = this.history(member);
    history.leadingTerm = null;
    if (event.role !== 'leader') return;
    history.leadingTerm = event.term;
    history.ledTerm = event.term;
    const other = this.#leaders.get(event.term);
    this.#check(
      other === undefined || other === member,
      () => `Election Safety: ${other} and ${member} both lead term ${event.term}`,
    );
    this.#leaders.set(event.term, member);
    this.#checkLeaderCompleteness(member, event.term);
  }

  /** By Log Matching it is enough to look at the last committed entry of an earlier term. */
  #checkLeaderCompleteness(member: MemberId, term: Term): void {
    let index = this.#committed.length;
    while (index > 0 && (this.#committed[index - 1]?.term ?? 0) >= term) index -= 1;
    if (index === 0) return;
    const history = this.history(member);
    this.#check(
      index <= history.lastIndex && history.termAt(index) === this.#committed[index - 1]?.term,
      () => `Leader Completeness: ${member} leads term ${term} without committed entry ${index}`,
    );
  }

  /** A promise leaves the member: it must be on its disk. */
  sent(message: Message): void {
    const member = message.from;
    const history = this.#members.get(member);
    if (history === undefined) return;
    if (message.type === 'AppendEntriesReply' && message.result.success) {
      const { matchIndex } = message.result;
      // One that waited for the disk may go when a newer term has begun, and a cut is on its way to the
      // disk: the leader of the old term is told what was so, as if the message had been slow.
      const isLate = message.term < history.submittedHardState.currentTerm;
      this.#check(
        isLate ? history.hadDurable(matchIndex, message.term) : matchIndex <= history.durableIndex,
        () =>
          `Durable Before Acknowledge: ${member} acknowledges entry ${matchIndex}, durable is ${history.durableIndex}`,
      );
      if (!isLate) history.promiseMatch(matchIndex);
    } else if (message.type === 'RequestVoteReply' && message.granted && !message.preVote) {
      this.#promisedVote(member, history, { term: message.term, to: message.to });
    } else if (message.type === 'RequestVote' && !message.preVote) {
      this.#promisedVote(member, history, { term: message.term, to: member });
    }
  }

  #promisedVote(
    member: MemberId,
    history: MemberHistory,
    vote: { readonly term: Term; readonly to: MemberId },
  ): void {
    const { durableHardState: onDisk } = history;
    this.#check(
      onDisk.currentTerm > vote.term ||
        (onDisk.currentTerm === vote.term && onDisk.votedFor === vote.to),
      () => `Durable Before Acknowledge: ${member} votes ${show(vote)}, durable is ${show(onDisk)}`,
    );
    history.promiseVote(vote.term, vote.to);
  }

  // ---------------------------------------------------------------- commit and apply

  /** A turn of the member is over. */
  turned(member: MemberId, view: MemberView): void {
    const history = this.history(member);
    this.#check(
      view.commitIndex >= history.commitIndex,
      () => `${member}: commit index goes back from ${history.commitIndex} to ${view.commitIndex}`,
    );
    this.#check(
      view.appliedIndex >= history.appliedIndex &&
        (view.appliedIndex <= view.commitIndex ||
          (view.isInstalling() && view.appliedIndex <= this.#committed.length)),
      () =>
        `${member}: applied ${view.appliedIndex} (before: ${history.appliedIndex}), committed ${view.commitIndex}`,
    );
    this.#check(view.term >= history.term, () => `${member}: the term goes back to ${view.term}`);
    for (let index = history.commitIndex + 1; index <= view.commitIndex; index += 1) {
      this.#committedBy(member, history, { index, view });
    }
    history.commitIndex = view.commitIndex;
    history.appliedIndex = view.appliedIndex;
    history.term = view.term;
    if (view.configuration.index !== history.configuration?.index) {
      this.#newConfiguration(member, history, view);
    }
    history.configuration = view.configuration;
  }

  #committedBy(
    member: MemberId,
    history: MemberHistory,
    { index, view }: { readonly index: LogIndex; readonly view: MemberView },
  ): void {
    const term = history.termAt(index);
    const known = this.#committed[index - 1];
    if (known !== undefined) {
      this.#check(
        known.term === term,
        () =>
          `State Machine Safety: ${member} commits entry ${index} of term ${term}; term ${known.term} is committed there`,
      );
      return;
    }
    const created = this.#created.get(entryKey(index, term));
    this.#check(
      index === this.#committed.length + 1 && created !== undefined,
      () => `${member} commits entry ${index} of term ${term}, which is not next or nobody wrote`,
    );
    this.#committed.push({ term });
    const configuration = created?.configuration ?? null;
    if (configuration !== null) {
      this.#configurations.committedNow(configuration, term);
      this.#coverage.count('membership: configuration committed');
    }
    // Of one turn only the last entry needs to be counted: those before it are under it.
    if (index === view.commitIndex)
      this.#checkDurableQuorum(member, history, { index, term, view });
  }

  /** The leader counts only what is on disks (its own, too), in each half of the configuration. */
  #checkDurableQuorum(
    member: MemberId,
    history: MemberHistory,
    { index, term, view }: { index: LogIndex; term: Term; view: MemberView },
  ): void {
    this.#check(
      // A leader that died in the middle of its turn has told others of it, and not us.
      history.ledTerm !== view.term || term === view.term,
      () =>
        `Commit by Counting (paper §5.4.2): ${member}, which led term ${history.ledTerm}, is the first to commit entry ${index} of term ${term}`,
    );
    const holders = new Set<MemberId>();
    for (const [other, log] of this.#members) {
      if (log.everDurable(index, term)) holders.add(other);
    }
    // The commit may itself have brought the next configuration.
    const configurations = [view.configuration, history.configuration ?? view.configuration];
    this.#check(
      configurations.some((configuration) => isQuorum(configuration, holders)),
      () =>
        `Quorum: ${member} commits entry ${index} of term ${term}, on disk only at ${[...holders].join()}` +
        ` of ${show(view.configuration)}`,
    );
  }

  #newConfiguration(member: MemberId, history: MemberHistory, view: MemberView): void {
    const { configuration } = view;
    const previous = history.configuration;
    if (previous === null || configuration.index < previous.index) {
      if (previous !== null) this.#coverage.count('membership: configuration rolled back');
      return;
    }
    if (history.leadingTerm === null) return;
    const split = disjointQuorums(previous, configuration);
    this.#check(
      split === null,
      () =>
        `Quorum Intersection: ${member} goes from ${show(previous)} to ${show(configuration)}: ${split}`,
    );
    this.#check(
      previous.index <= this.#committed.length,
      () =>
        `One Change at a Time: ${member} takes ${show(configuration)} while ${previous.index} is not committed`,
    );
  }

  /** The state machine of the member stands behind this entry. */
  applied(member: MemberId, index: LogIndex, stateHash: number): void {
    const first = this.#stateHashes[index - 1];
    if (first === undefined) this.#stateHashes[index - 1] = stateHash;
    this.#check(
      first === undefined || first === stateHash,
      () => `State Hash: ${member} differs behind entry ${index}`,
    );
  }

  #check(condition: boolean, violation: () => string): void {
    if (!condition) this.#violated(violation());
  }

  /** Not thrown: that would be inside the product, which would take it for its own. */
  #violated(violation: string): void {
    this.#scheduler.fail(new Violation(violation));
  }
}

function isJoint({ votersOutgoing }: Configuration): boolean {
  return votersOutgoing.length > 0;
}

function termIn(restored: RestoredLog, index: LogIndex): Term {
  let term = 0;
  for (const run of restored.terms) if (run.index <= index) term = run.term;
  return term;
}

function show(value: unknown): string {
  return JSON.stringify(value);
}
