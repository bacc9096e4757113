import { seededRandom } from '../../src/base/random.js';
import { formedWith } from '../../src/raft/configuration.js';
import { packConfiguration } from '../../src/raft/configuration-codec.js';
import { RaftNode } from '../../src/raft/raft-node.js';
import type {
  Configuration,
  Entry,
  HardState,
  LogIndex,
  LogPosition,
  MemberId,
  Message,
  RaftEvent,
  RaftOptions,
  Ready,
  RestoredState,
  Term,
} from '../../src/raft/types.js';

/** One member, looked at only through what goes in and what comes out. */

export const LIMITS: RaftOptions['limits'] = {
  uncommittedBytesMax: 1 << 20,
  appendBytesMax: 1 << 20,
  inflightAppendsMax: 16,
  inflightBytesMax: 1 << 22,
  logCacheBytesMax: 1 << 22,
  pendingReadsMax: 1000,
  transferLagEntriesMax: 32,
};

export const ELECTION_TICKS = 10;

export interface MemberSetup {
  readonly id?: MemberId;
  readonly voters?: readonly MemberId[];
  readonly votersOutgoing?: readonly MemberId[];
  readonly learners?: readonly MemberId[];
  /** Where its log begins; index 0 unless given. */
  readonly logStart?: LogPosition;
  /** The terms of the entries of its log, from the first one behind `logStart`. */
  readonly log?: readonly Term[];
  /** How many of the newest entries are in memory; all unless given. */
  readonly cachedEntries?: number;
  readonly term?: Term;
  readonly votedFor?: MemberId | null;
  readonly commitIndex?: LogIndex;
  readonly appliedIndex?: LogIndex;
  readonly limits?: Partial<RaftOptions['limits']>;
  readonly heartbeatTicks?: number;
  readonly electionTicks?: number;
  readonly leaseMs?: number;
  readonly leaseMsBefore?: number;
  readonly leaseDriftMargin?: number;
  readonly seed?: number;
  readonly priority?: number;
  readonly diskStallTicks?: number;
  /** Of the latest configuration that it has applied: `voters` and so on; 0 unless given. */
  readonly configurationIndex?: LogIndex;
  /** By index, the entries of its log that hold configurations. */
  readonly configurations?: Readonly<Record<LogIndex, Partial<Configuration>>>;
}

export function entry(index: LogIndex, term: Term, text = `${term}.${index}`): Entry {
  return { index, term, type: 'command', payload: Buffer.from(text) };
}

export function configurationEntry(
  index: LogIndex,
  term: Term,
  fields: Partial<Configuration>,
): Entry {
  const payload = packConfiguration(formedWith(fields.voters ?? [], fields));
  return { index, term, type: 'configuration', payload };
}

export function entriesOf(terms: readonly Term[], firstIndex = 1): Entry[] {
  return terms.map((term, offset) => entry(firstIndex + offset, term));
}

/** The first place of each run of equal terms. */
export function runsOf(terms: readonly Term[], firstIndex = 1): LogPosition[] {
  return terms.flatMap((term, offset) =>
    terms[offset - 1] === term ? [] : [{ index: firstIndex + offset, term }],
  );
}

export function restoredFrom(setup: MemberSetup): RestoredState {
  const log = setup.log ?? [];
  const logStart = setup.logStart ?? { index: 0, term: 0 };
  const entries = entriesOf(log, logStart.index + 1).map((e) => {
    const fields = setup.configurations?.[e.index];
    return fields === undefined ? e : configurationEntry(e.index, e.term, fields);
  });
  const hardState: HardState = {
    currentTerm: setup.term ?? log.at(-1) ?? logStart.term,
    votedFor: setup.votedFor ?? null,
    commitIndex: setup.commitIndex ?? 0,
  };
  const configuration = formedWith(setup.voters ?? ['n1', 'n2', 'n3'], {
    votersOutgoing: setup.votersOutgoing ?? [],
    learners: setup.learners ?? [],
    index: setup.configurationIndex ?? 0,
  });
  return {
    hardState,
    configuration,
    logStart,
    terms: runsOf(log, logStart.index + 1),
    lastIndex: logStart.index + log.length,
    tail: entries.slice(entries.length - (setup.cachedEntries ?? entries.length)),
    configurationEntries: entries.filter((e) => e.type === 'configuration'),
    appliedIndex: setup.appliedIndex ?? logStart.index,
  };
}

export class Member {
  readonly node: RaftNode;
  readonly id: MemberId;
  /** The number of the last write asked for. */
  sequence = 0;
  /** Its clock, as it stands when it takes a step. */
  nowMs = 0;
  /** By how much its time of day is ahead of that. */
  wallAheadMs = 0;
  /** What was held back for the disk, oldest first. */
  held: Message[] = [];

  constructor(setup: MemberSetup = {}) {
    this.id = setup.id ?? 'n1';
    this.node = new RaftNode(
      {
        id: this.id,
        electionTicks: setup.electionTicks ?? ELECTION_TICKS,
        heartbeatTicks: setup.heartbeatTicks ?? 1,
        random: seededRandom(setup.seed ?? 1),
        priority: setup.priority ?? 100,
        leaseMs: setup.leaseMs ?? 0,
        leaseMsBefore: setup.leaseMsBefore ?? 0,
        leaseDriftMargin: setup.leaseDriftMargin ?? 0.1,
        diskStallTicks: setup.diskStallTicks ?? 1_000,
        limits: { ...LIMITS, ...setup.limits },
      },
      restoredFrom(setup),
    );
  }

  step(...events: RaftEvent[]): Ready {
    const ready = this.node.step(events, this.nowMs, this.nowMs + this.wallAheadMs);
    if (ready.write !== null) this.sequence = ready.write.sequence;
    this.held.push(...ready.messagesAfterPersist);
    return ready;
  }

  receive(...messages: Message[]): Ready {
    return this.step(...messages.map((message) => ({ type: 'message' as const, message })));
  }

  tick(count = 1): Ready {
    return this.step(...Array.from({ length: count }, () => ({ type: 'tick' as const })));
  }

  propose(text: string, id = 1): Ready {
    return this.step({ type: 'propose', id, payload: Buffer.from(text) });
  }

  read(id = 1): Ready {
    return this.step({ type: 'read', id });
  }

  /** The disk has done all that it was asked for (or through `sequence`). */
  persist(sequence = this.sequence): Ready {
    return this.step({ type: 'persisted', sequence });
  }

  /** All answers that one message gets, now and after the disk. */
  answersTo(message: Message): Message[] {
    this.held = [];
    const ready = this.receive(message);
    const answers = [...ready.messages, ...ready.messagesAfterPersist];
    this.persist();
    return answers;
  }
}

/** A voter that leads the term after its log's, elected by all others, its noop on its own disk. */
export function leaderOf(setup: MemberSetup = {}): Member {
  const member = new Member(setup);
  const others = (setup.voters ?? ['n1', 'n2', 'n3']).filter((voter) => voter !== member.id);
  elect(member, others);
  return member;
}

export function elect(member: Member, others: readonly MemberId[]): Ready {
  const first = member.step({ type: 'campaign' });
  const term = member.node.term + (member.node.role === 'pre-candidate' ? 1 : 0);
  let last = first;
  for (const preVote of [true, false]) {
    for (const from of others) {
      last = member.receive(voteReply({ from, to: member.id, term, preVote, granted: true }));
    }
    if (preVote) last = member.persist();
  }
  if (member.node.role !== 'leader') throw new Error(`not elected: ${member.node.role}`);
  member.persist();
  member.held = [];
  return last;
}

// Messages, with what most tests do not care about filled in.

export function voteRequest(fields: {
  term: Term;
  from?: MemberId;
  to?: MemberId;
  lastLog?: LogPosition;
  preVote?: boolean;
  transfer?: boolean;
}): Message {
  return {
    type: 'RequestVote',
    from: 'n2',
    to: 'n1',
    preVote: false,
    lastLog: { index: 0, term: 0 },
    transfer: false,
    ...fields,
  };
}

export function voteReply(fields: {
  term: Term;
  from?: MemberId;
  to?: MemberId;
  preVote?: boolean;
  granted?: boolean;
}): Message {
  return {
    type: 'RequestVoteReply',
    from: 'n2',
    to: 'n1',
    preVote: false,
    granted: true,
    ...fields,
  };
}

export function append(fields: {
  term: Term;
  from?: MemberId;
  to?: MemberId;
  prevLog?: LogPosition;
  entries?: readonly Entry[];
  leaderCommit?: LogIndex;
}): Message {
  return {
    type: 'AppendEntries',
    from: 'n2',
    to: 'n1',
    prevLog: { index: 0, term: 0 },
    entries: [],
    leaderCommit: 0,
    ...fields,
  };
}

export function appended(fields: {
  term: Term;
  matchIndex: LogIndex;
  from?: MemberId;
  to?: MemberId;
}): Message {
  const { matchIndex, ...rest } = fields;
  return {
    type: 'AppendEntriesReply',
    from: 'n2',
    to: 'n1',
    result: { success: true, matchIndex },
    ...rest,
  };
}

export function refused(fields: {
  term: Term;
  prevIndex: LogIndex;
  hint: LogPosition;
  from?: MemberId;
  to?: MemberId;
}): Message {
  const { prevIndex, hint, ...rest } = fields;
  return {
    type: 'AppendEntriesReply',
    from: 'n2',
    to: 'n1',
    result: { success: false, prevIndex, hint },
    ...rest,
  };
}

export function heartbeat(fields: {
  term: Term;
  from?: MemberId;
  to?: MemberId;
  commit?: LogIndex;
  readRound?: number;
  leaseMs?: number;
}): Message {
  return {
    type: 'Heartbeat',
    from: 'n2',
    to: 'n1',
    commit: 0,
    readRound: 0,
    leaseMs: 0,
    ...fields,
  };
}

export function heartbeatReply(fields: {
  term: Term;
  from?: MemberId;
  to?: MemberId;
  readRound?: number;
  leaseGranted?: boolean;
  priority?: number;
  appliedIndex?: LogIndex | null;
}): Message {
  return {
    type: 'HeartbeatReply',
    from: 'n2',
    to: 'n1',
    readRound: 0,
    leaseGranted: false,
    priority: 100,
    appliedIndex: 0,
    ...fields,
  };
}

/** Messages of one type, as that type. */
export function ofType<T extends Message['type']>(
  messages: readonly Message[],
  type: T,
): Extract<Message, { type: T }>[] {
  return messages.filter((m): m is Extract<Message, { type: T }> => m.type === type);
}
