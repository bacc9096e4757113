import { seededRandom } from '../../src/base/random.js';
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
};

export const ELECTION_TICKS = 10;

export interface MemberSetup {
  readonly id?: MemberId;
  readonly voters?: readonly MemberId[];
  readonly votersOutgoing?: readonly MemberId[];
  readonly learners?: readonly MemberId[];
  /** The terms of the entries of its log, from index 1. */
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
  readonly seed?: number;
}

export function entry(index: LogIndex, term: Term, text = `${term}.${index}`): Entry {
  return { index, term, type: 'command', payload: Buffer.from(text) };
}

export function entriesOf(terms: readonly Term[], firstIndex = 1): Entry[] {
  return terms.map((term, offset) => entry(firstIndex + offset, term));
}

/** The first place of each run of equal terms. */
export function runsOf(terms: readonly Term[]): LogPosition[] {
  return terms.flatMap((term, offset) =>
    terms[offset - 1] === term ? [] : [{ index: offset + 1, term }],
  );
}

export function restoredFrom(setup: MemberSetup): RestoredState {
  const log = setup.log ?? [];
  const entries = entriesOf(log);
  const hardState: HardState = {
    currentTerm: setup.term ?? log.at(-1) ?? 0,
    votedFor: setup.votedFor ?? null,
    commitIndex: setup.commitIndex ?? 0,
  };
  const configuration: Configuration = {
    index: 0,
    voters: setup.voters ?? ['n1', 'n2', 'n3'],
    votersOutgoing: setup.votersOutgoing ?? [],
    learners: setup.learners ?? [],
  };
  return {
    hardState,
    configuration,
    logStart: { index: 0, term: 0 },
    terms: runsOf(log),
    lastIndex: log.length,
    tail: entries.slice(entries.length - (setup.cachedEntries ?? entries.length)),
    configurationEntries: [],
    appliedIndex: setup.appliedIndex ?? 0,
  };
}

export class Member {
  readonly node: RaftNode;
  readonly id: MemberId;
  /** The number of the last write asked for. */
  sequence = 0;
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
        limits: { ...LIMITS, ...setup.limits },
      },
      restoredFrom(setup),
    );
  }

  step(...events: RaftEvent[]): Ready {
    const ready = this.node.step(events);
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
}): Message {
  return {
    type: 'RequestVote',
    from: 'n2',
    to: 'n1',
    preVote: false,
    lastLog: { index: 0, term: 0 },
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
}): Message {
  return { type: 'Heartbeat', from: 'n2', to: 'n1', commit: 0, readRound: 0, ...fields };
}

export function heartbeatReply(fields: {
  term: Term;
  from?: MemberId;
  to?: MemberId;
  readRound?: number;
}): Message {
  return { type: 'HeartbeatReply', from: 'n2', to: 'n1', readRound: 0, ...fields };
}

/** Messages of one type, as that type. */
export function ofType<T extends Message['type']>(
  messages: readonly Message[],
  type: T,
): Extract<Message, { type: T }>[] {
  return messages.filter((m): m is Extract<Message, { type: T }> => m.type === type);
}
