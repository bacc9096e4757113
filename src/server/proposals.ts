import { assert } from '../base/assert.js';
import {
  CALL_COMMANDS,
  EXTENDED_COMMANDS,
  JOB_COMMANDS,
  MERGE_COMMANDS,
} from '../base/command-versions.js';
import { BalsaError } from '../base/errors.js';
import type { JobStep } from '../base/job.js';
import type { Limits } from '../base/limits.js';
import type { WriteBatch } from '../base/operation.js';
import type { LogPosition, MemberId, ProposalAnswer, RaftEvent, Term } from '../raft/types.js';
import { COMMAND_VERSION_MAX, packCommand } from '../statemachine/command.js';
import type { BatchAnswer, Command, MergeCommand, SystemOperation } from '../statemachine/types.js';

/** Told once, with what became of a batch. */
export type WriteDone = (answer: BatchAnswer) => void;

/** Without the batch: its bytes are in the log entry, and it may be a view of a whole frame. */
interface Waiting {
  readonly bytes: number;
  readonly operations: number;
  readonly done: WriteDone;
}

/** What was found out about a batch when it was checked. */
export interface BatchFacts {
  /** How much work it is, in operations on one key each. */
  readonly operations: number;
  /** It needs commands of this version. */
  readonly version: number;
}

interface Queued extends Waiting, BatchFacts {
  readonly batch: WriteBatch;
}

export interface ProposalsOptions {
  readonly id: MemberId;
  /** What commands are stamped with; `null`: not known yet, they have to wait. */
  readonly logTimeMs: () => number | null;
  readonly limits: Limits;
  readonly nameOf: (member: MemberId) => string;
  /** The newest version of commands that all members can read. */
  readonly commandVersion: () => number;
  /** Names of members that cannot read commands of this version. */
  readonly lacking: (version: number) => readonly string[];
  /** In which this member proposes. */
  readonly term: () => Term;
}

/** Told once: whether what the leader proposed itself was applied. */
export type SystemDone = (applied: boolean) => void;

/** What hangs on one log entry. */
interface Proposed {
  readonly items: readonly Waiting[];
  /** Of an entry without batches. */
  readonly system: SystemDone | null;
}

/** Told once, with one answer for each of the calls. */
export type CallsDone = (answers: readonly BatchAnswer[]) => void;

interface QueuedCalls {
  readonly records: readonly Uint8Array[];
  readonly done: CallsDone;
}

/** Told once: `null` when it was merged. */
export type MergeDone = (error: BalsaError | null) => void;

interface QueuedMerge {
  readonly merge: MergeCommand;
  readonly item: Waiting;
}

interface QueuedSystem {
  readonly fields: Pick<Command, 'system' | 'jobs'>;
  readonly version: number;
  readonly done: SystemDone;
}

/** Bytes of a batch beside its operations, roughly; for accounting only. */
const BATCH_OVERHEAD_BYTES = 64;

/**
 * The way of a write through a leader: batches that arrive in one turn are gathered into one log
 * entry, wait for the log to take it, and are answered when that entry is applied.
 *
 * A write is answered as failed with outcome `not-applied` only while it was never in the log.
 * Afterwards a lost leadership makes it *unknown*: the entry may be committed yet.
 */
export class Proposals {
  readonly #options: ProposalsOptions;
  readonly #limits: Limits;
  #queue: Queued[] = [];
  #systemQueue: QueuedSystem[] = [];
  #callQueue: QueuedCalls[] = [];
  #mergeQueue: QueuedMerge[] = [];
  #isHeld = false;
  /** Handed to the core, not answered by it (only within one turn). */
  readonly #proposed = new Map<number, Proposed>();
  /** In the log, by index. */
  readonly #appended = new Map<number, Proposed & { readonly term: number }>();
  #bytes = 0;
  /** Operations of batches taken in and not answered. */
  #pending = 0;
  #operations = 0;
  #nextId = 1;

  /** What calls and merges are stamped with; see `Command`. */
  wallMs: () => number = () => 0;

  constructor(options: ProposalsOptions) {
    this.#options = options;
    this.#limits = options.limits;
  }

  /** Bytes of batches taken in and not answered. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /** Operations of clients that were taken in so far. */
  get operations(): number {
    return this.#operations;
  }

  /** Takes a batch in, or answers it `OVERLOADED` or `UPGRADE_PENDING` at once. */
  add(batch: WriteBatch, facts: BatchFacts, done: WriteDone): void {
    if (facts.version > this.#options.commandVersion()) {
      done({ ok: false, error: this.#upgradePending(facts.version) });
      return;
    }
    const bytes = batch.operations.byteLength + BATCH_OVERHEAD_BYTES;
    if (this.#bytes + bytes > this.#limits.pendingRequestBytesMax && this.#bytes > 0) {
      done({ ok: false, error: overloaded('pendingRequestBytesMax') });
      return;
    }
    const isFull = this.#pending + facts.operations > this.#limits.pendingOperationsMax;
    if (isFull && this.#pending > 0) {
      done({ ok: false, error: overloaded('pendingOperationsMax') });
      return;
    }
    this.#bytes += bytes;
    this.#pending += facts.operations;
    this.#operations += facts.operations;
    this.#queue.push({ batch, bytes, done, ...facts });
  }

  /**
   * Takes in what the leader itself has to do, for an entry of its own behind the batches of this turn:
   * a keep-alive that has come by now counts before the expiry of its lease. Needs {@link EXTENDED_COMMANDS}.
   */
  addSystem(operations: readonly SystemOperation[], done: SystemDone): void {
    this.#systemQueue.push({ fields: { system: operations }, version: EXTENDED_COMMANDS, done });
  }

  /** Takes in calls of procedures, as `packCall` makes them, for an entry of their own. Needs {@link CALL_COMMANDS}. */
  addCalls(records: readonly Uint8Array[], done: CallsDone): void {
    this.#callQueue.push({ records, done });
  }

  /** Takes in deltas, for an entry of their own. Needs {@link MERGE_COMMANDS}. */
  addMerge(merge: MergeCommand, done: MergeDone): void {
    const told = (answer: BatchAnswer): void => done(answer.ok ? null : answer.error);
    this.#mergeQueue.push({ merge, item: { bytes: 0, operations: 0, done: told } });
  }

  /** As {@link addSystem}, of jobs. Needs {@link JOB_COMMANDS}. */
  addJobs(jobs: readonly JobStep[], done: SystemDone): void {
    this.#systemQueue.push({ fields: { jobs }, version: JOB_COMMANDS, done });
  }

  /** While it is held nothing but calls gets into the log. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
  }

  /**
   * All that waits, as proposals: one entry, or several when `entryBytesMax` or `entryOperationsMax`
   * would be exceeded. None as long as log time is not known.
   */
  take(): RaftEvent[] {
    if (this.#isEmpty) return [];
    const timeMs = this.#options.logTimeMs();
    if (timeMs === null) return [];
    const calls = this.#takeCalls(timeMs);
    if (this.#isHeld) return calls;
    this.#refuseUnknown();
    return [...this.#takeBatches(timeMs), ...calls, ...this.#takeSystem(timeMs)];
  }

  get #isEmpty(): boolean {
    const others = this.#systemQueue.length + this.#callQueue.length + this.#mergeQueue.length;
    return this.#queue.length + others === 0;
  }

  /** A member may have joined since they were taken in. */
  #refuseUnknown(): void {
    const version = this.#options.commandVersion();
    if (version >= COMMAND_VERSION_MAX) return;
    const refused = this.#queue.filter((item) => item.version > version);
    if (refused.length === 0) return;
    this.#queue = this.#queue.filter((item) => item.version <= version);
    for (const item of refused) {
      this.#fail({ items: [item], system: null }, this.#upgradePending(item.version));
    }
  }

  #upgradePending(version: number): BalsaError {
    const lacking = this.#options.lacking(version);
    return new BalsaError(
      'UPGRADE_PENDING',
      `not all members know this operation yet: upgrade ${lacking.join(', ')}`,
      { outcome: 'not-applied', details: { lacking, version } },
    );
  }

  #takeCalls(timeMs: number): RaftEvent[] {
    const queued = this.#callQueue;
    this.#callQueue = [];
    return queued.flatMap(({ records, done }) => {
      const items = together(records, done);
      if (this.#options.commandVersion() >= CALL_COMMANDS) {
        const calls = records;
        return [this.#propose({ timeMs, batches: [], calls, wallMs: this.wallMs() }, items, null)];
      }
      this.#fail({ items, system: null }, this.#upgradePending(CALL_COMMANDS));
      return [];
    });
  }

  /** What the leader itself has to do, and merges. */
  #takeSystem(timeMs: number): RaftEvent[] {
    const queued = this.#systemQueue;
    this.#systemQueue = [];
    const merges = this.#takeMerges(timeMs);
    const operations = queued.flatMap(({ fields, version, done }) => {
      if (this.#options.commandVersion() >= version) {
        return [this.#propose({ timeMs, batches: [], ...fields }, [], done)];
      }
      done(false);
      return [];
    });
    return [...operations, ...merges];
  }

  #takeMerges(timeMs: number): RaftEvent[] {
    const queued = this.#mergeQueue;
    this.#mergeQueue = [];
    return queued.flatMap(({ merge, item }) => {
      if (this.#options.commandVersion() >= MERGE_COMMANDS) {
        const fields = { timeMs, batches: [], merge, wallMs: this.wallMs() };
        return [this.#propose(fields, [item], null)];
      }
      this.#fail({ items: [item], system: null }, this.#upgradePending(MERGE_COMMANDS));
      return [];
    });
  }

  #takeBatches(timeMs: number): RaftEvent[] {
    const { entryBytesMax, entryOperationsMax } = this.#limits;
    const events: RaftEvent[] = [];
    let items: Queued[] = [];
    let bytes = 0;
    let operations = 0;
    const propose = (): void => {
      if (items.length === 0) return;
      const batches = items.map((item) => item.batch);
      events.push(this.#propose({ timeMs, batches }, items.map(toWaiting), null));
    };
    for (const item of this.#queue) {
      bytes += item.bytes;
      operations += item.operations;
      if (items.length > 0 && (bytes > entryBytesMax || operations > entryOperationsMax)) {
        propose();
        items = [];
        bytes = item.bytes;
        operations = item.operations;
      }
      items.push(item);
    }
    propose();
    this.#queue = [];
    return events;
  }

  #propose(command: Command, items: readonly Waiting[], system: SystemDone | null): RaftEvent {
    const id = this.#nextId++;
    this.#proposed.set(id, { items, system });
    const { commandVersion, term } = this.#options;
    const payload = packCommand({ proposerTerm: term(), ...command }, commandVersion());
    return { type: 'propose', id, payload };
  }

  /** The core's word on a proposal. */
  answered(answer: ProposalAnswer): void {
    const proposed = this.#proposed.get(answer.id);
    assert(proposed !== undefined, 'the core answers each proposal once');
    this.#proposed.delete(answer.id);
    if (answer.accepted) {
      const { index, term } = answer.position;
      assert(!this.#appended.has(index), 'one proposal per log index');
      this.#appended.set(index, { term, ...proposed });
      return;
    }
    const error =
      answer.reason === 'overloaded'
        ? overloaded('uncommittedBytesMax')
        : notLeader(this.#nextLeader(answer.leader), 'not-applied');
    this.#fail(proposed, error);
  }

  /** Whom to ask instead. A leader that hands its leadership over does not name itself. */
  #nextLeader(leader: MemberId | null): string | null {
    const { id, nameOf } = this.#options;
    return leader === null || leader === id ? null : nameOf(leader);
  }

  /** The entry at this place was applied, with one answer per batch. */
  applied(position: LogPosition, answers: readonly BatchAnswer[]): void {
    const appended = this.#appended.get(position.index);
    if (appended === undefined) return;
    this.#appended.delete(position.index);
    if (appended.term !== position.term) {
      // Another leader's entry took the place, so ours never commits.
      this.#fail(appended, notLeader(null, 'not-applied'));
      return;
    }
    assert(answers.length === appended.items.length, 'one answer per batch of the entry');
    this.#settle(appended.items, (i) => answers[i] as BatchAnswer);
    appended.system?.(true);
  }

  /** No longer the leader: what is in the log may yet be committed by the next one. */
  leadershipLost(leader: MemberId | null): void {
    const appended = [...this.#appended.values()];
    this.#appended.clear();
    const unknown = notLeader(this.#nextLeader(leader), 'unknown');
    for (const lost of appended) this.#fail(lost, unknown);
  }

  /** The replica stops: nothing more is answered as done. */
  abandon(error: BalsaError): void {
    const queued = this.#queue;
    this.#queue = [];
    this.#fail({ items: queued, system: null }, error.withOutcome('not-applied'));
    const system = this.#systemQueue;
    this.#systemQueue = [];
    for (const { done } of system) done(false);
    const calls = this.#callQueue;
    this.#callQueue = [];
    for (const { records, done } of calls) {
      const items = together(records, done);
      this.#fail({ items, system: null }, error.withOutcome('not-applied'));
    }
    const merges = this.#mergeQueue.map(({ item }) => item);
    this.#mergeQueue = [];
    this.#fail({ items: merges, system: null }, error.withOutcome('not-applied'));
    const inLog = [...this.#proposed.values(), ...this.#appended.values()];
    this.#proposed.clear();
    this.#appended.clear();
    for (const lost of inLog) this.#fail(lost, error.withOutcome('unknown'));
  }

  #fail({ items, system }: Proposed, error: BalsaError): void {
    this.#settle(items, () => ({ ok: false, error }));
    system?.(false);
  }

  #settle(items: readonly Waiting[], answerOf: (i: number) => BatchAnswer): void {
    items.forEach((item, i) => {
      this.#bytes -= item.bytes;
      this.#pending -= item.operations;
      item.done(answerOf(i));
    });
  }
}

/** One item for each call; `done` is told when all are answered. They are not accounted for: the lane has few at a time. */
function together(records: readonly Uint8Array[], done: CallsDone): Waiting[] {
  const answers: BatchAnswer[] = [];
  return records.map(() => ({
    bytes: 0,
    operations: 0,
    done: (answer) => {
      answers.push(answer);
      if (answers.length === records.length) done(answers);
    },
  }));
}

/** Without the batch, see {@link Waiting}. */
function toWaiting({ bytes, operations, done }: Queued): Waiting {
  return { bytes, operations, done };
}

/** @returns BalsaError `NOT_LEADER`, naming the leader in `details.leader` when it is known */
export function notLeader(leader: string | null, outcome?: 'not-applied' | 'unknown'): BalsaError {
  const message = leader === null ? 'no leader is known here' : `the leader is ${leader}`;
  return new BalsaError('NOT_LEADER', message, { outcome, details: { leader } });
}

/** @returns BalsaError `OVERLOADED` naming the bound that was reached */
export function overloaded(limit: keyof Limits): BalsaError {
  return new BalsaError('OVERLOADED', `the replica has reached its bound ${limit}`, {
    outcome: 'not-applied',
    details: { limit, retryAfterMs: 50 },
  });
}
