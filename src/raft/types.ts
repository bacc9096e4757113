/**
 * The vocabulary of the consensus module: what the log is made of, the messages between members, the
 * events that a member takes in and the effects that it asks for.
 */

/** Position in the log, from 1. 0: before the first entry. */
export type LogIndex = number;
export type Term = number;

/**
 * A member of the group: its name and the incarnation of its disk, e.g. `n1.5f0c`. Opaque here. A
 * wiped disk comes back as another member, so that it can never vote twice in a term.
 */
export type MemberId = string;

/** A place in the log: an index and the term of the entry there. */
export interface LogPosition {
  readonly index: LogIndex;
  readonly term: Term;
}

export const LOG_START: LogPosition = { index: 0, term: 0 };

export type EntryType = 'noop' | 'command' | 'configuration';

export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly type: EntryType;
  readonly payload: Uint8Array;
}

/** What must be on disk beside the entries (paper, Figure 2: "persistent state"). */
export interface HardState {
  readonly currentTerm: Term;
  readonly votedFor: MemberId | null;
  /** A hint that saves time after a restart; may be behind. */
  readonly commitIndex: LogIndex;
}

/**
 * Who votes. In effect as soon as its entry is appended (paper §6). While `votersOutgoing` is not
 * empty the configuration is joint: a decision needs a majority of both.
 */
export interface Configuration {
  /** Index of the entry that holds it; 0 for the one the cluster was formed with. */
  readonly index: LogIndex;
  readonly voters: readonly MemberId[];
  readonly votersOutgoing: readonly MemberId[];
  /** Receive the log, do not count. */
  readonly learners: readonly MemberId[];
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  readonly learnersNext: readonly MemberId[];
  /** Learners that the leader makes voters by itself, as soon as they have caught up. */
  readonly promotions: readonly Promotion[];
  /** Where members are reached, for those whose place is not the one that the cluster was formed with. */
  readonly addresses: readonly MemberPlace[];
}

/** A learner that is to vote, and whom it takes the place of (`null`: of nobody). */
export interface Promotion {
  readonly member: MemberId;
  readonly replaces: MemberId | null;
}

/** Opaque to the core: carried along, so that each member learns where the others are. */
export interface MemberPlace {
  readonly member: MemberId;
  /** `host:port` */
  readonly address: string;
}

/**
 * The members as they shall be; whoever is not named in it is removed. When the voters change, the
 * leader goes through a joint configuration by itself (paper §6).
 */
export interface ConfigurationChange {
  /** Compare-and-set: refused unless the configuration in effect has this index. */
  readonly expectedIndex: LogIndex;
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
  readonly promotions: readonly Promotion[];
  readonly addresses: readonly MemberPlace[];
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

// ---------------------------------------------------------------------------------------------
// Messages

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  /** The sender's term; in a pre-vote request and its granting reply, the term it would start. */
  readonly term: Term;
}

export interface RequestVote extends Envelope {
  readonly type: 'RequestVote';
  /** Asks "would you vote for me?" and changes nothing at the receiver (thesis §9.6). */
  readonly preVote: boolean;
  readonly lastLog: LogPosition;
  /** The leader itself asked for this election (`TimeoutNow`): it must not be held off for its sake. */
  readonly transfer: boolean;
}

export interface RequestVoteReply extends Envelope {
  readonly type: 'RequestVoteReply';
  readonly preVote: boolean;
  readonly granted: boolean;
}

export interface AppendEntries extends Envelope {
  readonly type: 'AppendEntries';
  readonly prevLog: LogPosition;
  readonly entries: readonly Entry[];
  readonly leaderCommit: LogIndex;
}

export interface AppendEntriesReply extends Envelope {
  readonly type: 'AppendEntriesReply';
  readonly result:
    | {
        readonly success: true;
        /** The follower's log equals the leader's through here, on disk. */
        readonly matchIndex: LogIndex;
      }
    | {
        readonly success: false;
        /** `prevLog.index` of the message refused: tells an old refusal from a new one. */
        readonly prevIndex: LogIndex;
        /** The last place where the logs may still agree (conflict back-off by term, paper §5.3). */
        readonly hint: LogPosition;
      };
}

/** Says "I lead", carries min(match, commit), and asks to confirm `readRound` (thesis §6.4). */
export interface Heartbeat extends Envelope {
  readonly type: 'Heartbeat';
  readonly commit: LogIndex;
  /**
   * (term, readRound) is a token that only this leader makes and never uses twice: an answer that
   * was delayed or doubled can only confirm reads that were asked before its round.
   */
  readonly readRound: number;
  /** Asks the receiver to vote for nobody for this long, in milliseconds; 0: no lease is asked for. */
  readonly leaseMs: number;
}

export interface HeartbeatReply extends Envelope {
  readonly type: 'HeartbeatReply';
  readonly readRound: number;
  /** It will vote for nobody for the `leaseMs` of the heartbeat, counted from when it came. */
  readonly leaseGranted: boolean;
  /** The sender's `RaftOptions.priority`. */
  readonly priority: number;
  /** The sender has applied through here; `null`: an older version, which does not say. */
  readonly appliedIndex: LogIndex | null;
}

/** The leader asks a follower that has the whole log to start an election at once (thesis §3.10). */
export interface TimeoutNow extends Envelope {
  readonly type: 'TimeoutNow';
}

/** A follower asks the leader for a read index. `request` is the follower's own number. */
export interface ReadIndexRequest extends Envelope {
  readonly type: 'ReadIndex';
  readonly request: number;
  /** The answer may wait for the next heartbeats that are sent anyway. */
  readonly patient?: true;
}

export interface ReadIndexReply extends Envelope {
  readonly type: 'ReadIndexReply';
  readonly request: number;
  readonly index: LogIndex;
}

export type Message =
  | RequestVote
  | RequestVoteReply
  | AppendEntries
  | AppendEntriesReply
  | Heartbeat
  | HeartbeatReply
  | ReadIndexRequest
  | ReadIndexReply
  | TimeoutNow;

// ---------------------------------------------------------------------------------------------
// Events: all that can happen

export type RaftEvent =
  /** One unit of the shell's clock has passed. */
  | { readonly type: 'tick' }
  | { readonly type: 'message'; readonly message: Message }
  /** Append this command. `id` is the shell's number; the answer is in `Ready.proposals`. */
  | { readonly type: 'propose'; readonly id: number; readonly payload: Uint8Array }
  /** At which index may a read that was asked now be served? Answer in `Ready.reads`. */
  | {
      readonly type: 'read';
      readonly id: number;
      /** It is no hurry: the next heartbeats that are sent anyway are early enough. */
      readonly patient?: true;
    }
  /** The write of `Ready.write` with this number, and all before it, is on disk. */
  | { readonly type: 'persisted'; readonly sequence: number }
  /** The state machine has applied through here: so far may the log be given up. */
  | { readonly type: 'applied'; readonly index: LogIndex }
  /** Entries asked for in `Ready.loads`, read back from the disk; none when the log is compacted there. */
  | { readonly type: 'loaded'; readonly member: MemberId; readonly entries: readonly Entry[] }
  /** The connection from this member was closed or refused: a hint, never proof, that it is gone. */
  | { readonly type: 'disconnected'; readonly member: MemberId }
  /** Something that was sent to this member is lost, while the connection to it stands. */
  | { readonly type: 'messages-lost'; readonly member: MemberId }
  /** Start an election now (operators and tests). */
  | { readonly type: 'campaign' }
  /** Change the members. Answer in `Ready.configurationChanges`. */
  | {
      readonly type: 'change-configuration';
      readonly id: number;
      readonly change: ConfigurationChange;
    }
  /** Hand leadership over; `null`: to whom the leader thinks best. Answer in `Ready.transfers`. */
  | { readonly type: 'transfer'; readonly id: number; readonly target: MemberId | null }
  /**
   * The log through `index` (applied, and its effects synced elsewhere) is given up: a snapshot stands
   * for it. Entries of it may be asked for in `Ready.loads` of earlier steps.
   */
  | { readonly type: 'compact'; readonly index: LogIndex }
  /**
   * The sending asked for in `Ready.snapshots` is over. `index`: of the snapshot that the member has
   * taken in whole and checked; `null`: it failed, ask again.
   */
  | { readonly type: 'snapshot-sent'; readonly member: MemberId; readonly index: LogIndex | null }
  /** A whole snapshot was received and checked. The core asks for it in `Ready.install`, or not. */
  | { readonly type: 'snapshot-received'; readonly snapshot: SnapshotOffer }
  /** The snapshot of `Ready.install` is in place: state and log on disk begin with it. */
  | { readonly type: 'snapshot-installed'; readonly position: LogPosition };

/** A snapshot that was begun to be sent by the leader of `term`, who may have ceased to lead since. */
export interface SnapshotOffer {
  readonly from: MemberId;
  readonly term: Term;
  /** The last entry whose effects it holds. */
  readonly position: LogPosition;
  /** In effect at `position`. */
  readonly configuration: Configuration;
}

// ---------------------------------------------------------------------------------------------
// Ready: all that must be done

export interface DiskWrite {
  /** Grows by one with each write; comes back in `persisted`. */
  readonly sequence: number;
  /** Written before the entries: a term must not reach the disk after entries of it. */
  readonly hardState: HardState | null;
  /**
   * To append, in order, without gaps. If the log on disk reaches beyond the first one's index, it
   * is cut there first.
   */
  readonly entries: readonly Entry[];
}

export type ProposalAnswer =
  | { readonly id: number; readonly accepted: true; readonly position: LogPosition }
  | {
      readonly id: number;
      readonly accepted: false;
      /** `transferring`: leadership is being handed over; try again with the next leader. */
      readonly reason: 'not-leader' | 'overloaded' | 'transferring';
      readonly leader: MemberId | null;
    };

/**
 * - `not-leader`: ask the leader
 * - `conflict`: the configuration in effect is another than `expectedIndex` says
 * - `pending`: another change is not finished, or the member that leadership is to be handed to has yet to apply much
 * - `new-leader`: this leader has not committed an entry of its own term yet, or not had the time to
 *   hear from the voters that are asked for; ask again
 * - `transferring`: the change would take the vote from the leader, or leadership is being handed over:
 *   it hands leadership over first; ask the next leader
 * - `quorum-at-risk`: of the voters that it asks for, not enough are heard from
 * - `not-caught-up`: a member that shall vote lacks too much of the log
 * - `invalid`: contradicts itself, or leaves no voter
 */
export type ChangeRefusal =
  | 'not-leader'
  | 'conflict'
  | 'pending'
  | 'new-leader'
  | 'transferring'
  | 'quorum-at-risk'
  | 'not-caught-up'
  | 'invalid';

/** `accepted` says that the change is in the log; the event `configuration` says when it is committed. */
export type ConfigurationAnswer =
  | { readonly id: number; readonly accepted: true; readonly position: LogPosition }
  | {
      readonly id: number;
      readonly accepted: false;
      readonly reason: ChangeRefusal;
      readonly leader: MemberId | null;
      readonly message: string;
    };

export type TransferAnswer =
  /** This member leads no more, and `target` was asked to lead; or it is the target itself, and leads on. */
  | { readonly id: number; readonly ok: true; readonly target: MemberId }
  | {
      readonly id: number;
      readonly ok: false;
      /** `invalid-target`: not a voter; `silent-target`: nothing is heard from it; `superseded`: by another transfer. */
      readonly reason:
        | 'not-leader'
        | 'no-target'
        | 'invalid-target'
        | 'silent-target'
        | 'timeout'
        | 'superseded';
      readonly leader: MemberId | null;
    };

/**
 * A follower needs entries that the log no longer holds: send it a snapshot. If one is under way to it
 * already (its connection broke, or this member led before), that one will do. Each sending ends with
 * one `snapshot-sent`.
 */
export interface SnapshotRequest {
  readonly member: MemberId;
}

export type ReadAnswer =
  /** Serve it from a state that has applied at least `index`. */
  | { readonly id: number; readonly ok: true; readonly index: LogIndex }
  | {
      readonly id: number;
      readonly ok: false;
      /** `lost-leadership`: the leader stepped down, or changed, before it was confirmed. */
      readonly reason: 'no-leader' | 'lost-leadership' | 'overloaded';
      readonly leader: MemberId | null;
    };

/** Entries that a slow follower needs and that are no longer in memory. */
export interface LoadRequest {
  readonly member: MemberId;
  readonly fromIndex: LogIndex;
  readonly toIndex: LogIndex;
  readonly bytesMax: number;
}

/** What happened inside, for logs, metrics and tests. */
export type CoreEvent =
  | {
      readonly type: 'role';
      readonly role: Role;
      readonly term: Term;
      readonly leader: MemberId | null;
      readonly reason: string;
    }
  /** Told when it takes effect (`committed` false), when it is committed, and when it is rolled back. */
  | {
      readonly type: 'configuration';
      readonly configuration: Configuration;
      readonly committed: boolean;
    }
  /** The committed configuration no longer names this member. */
  | { readonly type: 'removed' }
  | {
      readonly type: 'transfer';
      readonly phase: 'started' | 'timeout-now' | 'aborted';
      readonly target: MemberId;
      readonly reason: string;
    }
  | {
      readonly type: 'snapshot';
      readonly phase: 'needed' | 'sent' | 'failed' | 'ignored' | 'installing' | 'installed';
      /** The other side. */
      readonly member: MemberId;
      readonly index: LogIndex;
    }
  | { readonly type: 'compacted'; readonly logStart: LogPosition };

/**
 * The effects of one `step`, and their order.
 *
 * 1. `messages` may be sent at once, before the disk is touched. They promise nothing that a crash
 *    could take back: requests of a leader (the leader may replicate while its own disk works,
 *    thesis §10.2.1: its own copy counts only when `persisted` says so), heartbeats and their
 *    answers, reads, refusals that do not depend on state which is not yet on disk.
 * 2. `write`, if any, goes to the disk, after all earlier writes. When it is durable the shell first
 *    sends `messagesAfterPersist` and then steps `persisted` with its number. Those messages are
 *    promises: a vote that is not on disk may be given twice, and an entry that is acknowledged and
 *    not on disk may be lost although it was committed. When `write` is null they wait for the last
 *    write that is under way, and go at once when there is none.
 * 3. Entries through `commitIndex` may be applied, in order, also before they are on the own disk; what
 *    applying them wrote must not reach the disk before the entries did.
 * 4. `reads` are answered when the state machine has applied their index.
 * 5. `install`, if any, follows all writes asked for so far: the shell makes the received snapshot its
 *    state, then its log begin behind it (keeping entries behind it only if the log holds the entry at
 *    its position with the same term), atomically and durably, and then steps `snapshot-installed`.
 *    Until then the core takes no entries and asks for no writes of entries.
 */
export interface Ready {
  readonly messages: readonly Message[];
  readonly write: DiskWrite | null;
  readonly messagesAfterPersist: readonly Message[];
  readonly commitIndex: LogIndex;
  readonly proposals: readonly ProposalAnswer[];
  readonly reads: readonly ReadAnswer[];
  readonly loads: readonly LoadRequest[];
  readonly configurationChanges: readonly ConfigurationAnswer[];
  readonly transfers: readonly TransferAnswer[];
  readonly snapshots: readonly SnapshotRequest[];
  readonly install: SnapshotOffer | null;
  readonly events: readonly CoreEvent[];
}

// ---------------------------------------------------------------------------------------------
// Options and restart

export interface RaftOptions {
  readonly id: MemberId;
  /** Ticks without a leader before an election starts; drawn anew from [n, 2n) each time. */
  readonly electionTicks: number;
  /** Ticks between heartbeats; at most a third of `electionTicks`. */
  readonly heartbeatTicks: number;
  /**
   * Who had better lead: an active, caught-up voter of higher priority is handed the leadership. 0: starts
   * an election only when nobody else has come forward for several election timeouts. Default of the
   * server: 100.
   */
  readonly priority: number;
  /** Length of a leader's lease for reads, in milliseconds; 0 (default of the server): no leases. */
  readonly leaseMs: number;
  /**
   * The longest lease that an earlier start on the same disk may have promised, in milliseconds. Default: as
   * `leaseMs`.
   */
  readonly leaseMsBefore?: number;
  /** Share of `leaseMs` by which clocks may run apart: a leader uses `leaseMs * (1 - it)`. */
  readonly leaseDriftMargin: number;
  /** A leader whose oldest write has been under way for this many ticks steps down; nobody starts an
   * election meanwhile. */
  readonly diskStallTicks: number;
  readonly random: { next(): number; int(bound: number): number };
  /** The limits it keeps (see `base/limits`). */
  readonly limits: {
    readonly uncommittedBytesMax: number;
    readonly appendBytesMax: number;
    readonly inflightAppendsMax: number;
    readonly inflightBytesMax: number;
    readonly logCacheBytesMax: number;
    readonly pendingReadsMax: number;
    readonly transferLagEntriesMax: number;
  };
}

/** What a member finds on its disk when it starts. */
export interface RestoredState {
  readonly hardState: HardState;
  /** The latest one that was applied, or that the cluster was formed with. */
  readonly configuration: Configuration;
  /** The log begins after this place (a snapshot stands for all before). */
  readonly logStart: LogPosition;
  /** The first place of each run of entries with equal term, in order. */
  readonly terms: readonly LogPosition[];
  readonly lastIndex: LogIndex;
  /** The newest entries, to keep in memory: a contiguous tail of the log (may be empty). */
  readonly tail: readonly Entry[];
  /** All entries of type `configuration` in the log; those after `configuration.index` count. */
  readonly configurationEntries: readonly Entry[];
  /** The state machine has applied through here; it is committed. */
  readonly appliedIndex: LogIndex;
}
