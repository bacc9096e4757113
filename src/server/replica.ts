import type { Clock } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Failpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { WriteBatch } from '../base/operation.js';
import type { Random } from '../base/random.js';
import { RaftNode } from '../raft/raft-node.js';
import type {
  Configuration,
  CoreEvent,
  DiskWrite,
  LoadRequest,
  LogIndex,
  MemberId,
  Message,
  RaftEvent,
  Ready,
} from '../raft/types.js';
import type { AnswerMeta, Consistency } from '../rpc/protocol.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { StateStore } from '../statemachine/state-store.js';
import type { LogStore } from '../storage/log-store.js';
import { Applier } from './applier.js';
import { notLeader, Proposals, type WriteDone } from './proposals.js';
import { Ticker } from './ticker.js';
import type { Transport } from './transport.js';
import { type ReadDone, WaitingReads } from './waiting-reads.js';

export interface ReplicaOptions {
  readonly id: MemberId;
  readonly configuration: Configuration;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly tickMs: number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly transport: Transport;
  readonly logStore: LogStore;
  readonly stateStore: StateStore;
  readonly machine: StateMachine;
  readonly failpoints: Failpoints;
  /** The name by which clients know a member. */
  readonly nameOf: (member: MemberId) => string;
  readonly onEvent: (event: CoreEvent) => void;
  /** Behind each turn: a good moment to send the answers it gave. */
  readonly afterTurn: () => void;
  /** Called once: the replica has stopped because of this. */
  readonly onFailure: (error: BalsaError) => void;
}

/**
 * One replica: the drive loop that ties the consensus module, the log, the state machine and the
 * transport. It holds no rule of Raft; it carries out what `Ready` lists, in the order stated there.
 *
 * All that arrives in one turn of the event loop is stepped together: one log entry, one message per
 * follower, one sync. The clock, the randomness, the disk and the network are handed in, so that the
 * simulator runs this very code.
 */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #node: RaftNode;
  readonly #proposals: Proposals;
  readonly #reads: WaitingReads;
  readonly #applier: Applier;
  readonly #ticker: Ticker;
  #events: RaftEvent[] = [];
  #turnPlanned = false;
  /** What is sent when the last write under way is durable; `null` when none is under way. */
  #behindLastWrite: Message[] | null = null;
  #inTurn = false;
  #stopped = false;
  #refusesWrites = false;
  #wasLeader = false;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    const { machine, logStore, stateStore, clock, limits, failpoints } = options;
    this.#node = new RaftNode(
      {
        id: options.id,
        electionTicks: options.electionTicks,
        heartbeatTicks: options.heartbeatTicks,
        random: options.random,
        limits,
      },
      {
        ...logStore.restored,
        configuration: options.configuration,
        appliedIndex: machine.appliedIndex,
      },
    );
    this.#proposals = new Proposals({ clock, limits, nameOf: options.nameOf });
    this.#reads = new WaitingReads({ limits, nameOf: options.nameOf });
    this.#applier = new Applier({
      machine,
      stateStore,
      logStore,
      clock,
      limits,
      failpoints,
      cached: (from, to, bytesMax) => this.#node.entries(from, to, bytesMax),
      onApplied: (entry, answers) => this.#proposals.applied(entry, answers),
      onProgress: () => this.#afterApply(),
      onFailure: (error) => this.#fail(error),
    });
    this.#ticker = new Ticker(clock, options.tickMs, () => this.#enqueue({ type: 'tick' }));
    stateStore.onFailure((error) => this.#fail(error));
  }

  /** Starts the clock. Entries that are known to be committed are applied at once. */
  start(): void {
    this.#allowStateOnDisk();
    this.#ticker.start();
    this.#planTurn();
  }

  get node(): RaftNode {
    return this.#node;
  }

  get appliedIndex(): LogIndex {
    return this.#applier.appliedIndex;
  }

  /** Name of the leader, as far as this replica knows. */
  get leader(): string | null {
    const { leader } = this.#node;
    return leader === null ? null : this.#options.nameOf(leader);
  }

  meta(): AnswerMeta {
    const { machine } = this.#options;
    return {
      term: this.#node.term,
      revision: machine.revision,
      appliedIndex: machine.appliedIndex,
    };
  }

  /** A message from another member. */
  receive(message: Message): void {
    this.#enqueue({ type: 'message', message });
  }

  /** The connection from a member was closed. */
  disconnected(member: MemberId): void {
    this.#enqueue({ type: 'disconnected', member });
  }

  /**
   * Writes a batch; `done` is called once, when it was applied or cannot be. The batch must have
   * been checked (keys, sizes, encoding): what is in the log cannot be refused any more. `operations`
   * is the number of operations in it.
   */
  write(batch: WriteBatch, operations: number, done: WriteDone): void {
    if (this.#stopped || this.#refusesWrites) {
      done({ ok: false, error: stopping().withOutcome('not-applied') });
    } else if (this.#node.role === 'leader') {
      this.#proposals.add(batch, operations, done);
      this.#planTurn();
    } else {
      done({ ok: false, error: notLeader(this.leader, 'not-applied') });
    }
  }

  /** Calls `done(null)` when the state machine may be read at this level. */
  read(consistency: Consistency, done: ReadDone): void {
    if (this.#stopped) {
      done(stopping());
    } else if (consistency === 'any') {
      done(null);
    } else {
      this.#reads.add(done);
      this.#planTurn();
    }
  }

  /** From now on writes are answered `SHUTTING_DOWN`; those taken in before go on. */
  refuseWrites(): void {
    this.#refusesWrites = true;
  }

  /** Bytes of writes taken in and not answered. */
  get pendingWriteBytes(): number {
    return this.#proposals.pendingBytes;
  }

  /** Answers all that waits with `SHUTTING_DOWN` and does no more. The stores stay open. */
  stop(): void {
    if (this.#stopped) return;
    this.#halt(stopping());
  }

  #enqueue(event: RaftEvent): void {
    if (this.#stopped) return;
    this.#events.push(event);
    this.#planTurn();
  }

  #planTurn(): void {
    if (this.#turnPlanned || this.#stopped) return;
    this.#turnPlanned = true;
    this.#options.clock.defer(() => this.#turn());
  }

  #turn(): void {
    this.#turnPlanned = false;
    if (this.#stopped) return;
    this.#inTurn = true;
    try {
      const events = this.#events;
      this.#events = [];
      for (const event of this.#proposals.take()) events.push(event);
      for (const event of this.#reads.take()) events.push(event);
      this.#carryOut(this.#node.step(events));
    } catch (error) {
      this.#fail(error);
    }
    this.#inTurn = false;
  }

  /** In the order that `Ready` states. */
  #carryOut(ready: Ready): void {
    // That something was committed is no hurry: those who wait for it here come first.
    this.#send(ready.messages.filter((message) => !isNews(message)));
    if (ready.write !== null) this.#persist(ready.write, [...ready.messagesAfterPersist]);
    else this.#sendBehindWrites(ready.messagesAfterPersist);
    // Before the events: a proposal taken in the same step in which leadership was lost is lost too.
    for (const answer of ready.proposals) this.#proposals.answered(answer);
    for (const event of ready.events) this.#onEvent(event);
    this.#allowStateOnDisk();
    for (const load of ready.loads) this.#load(load);
    this.#applier.advance(ready.commitIndex);
    for (const answer of ready.reads) this.#reads.answered(answer, this.appliedIndex);
    this.#options.afterTurn();
    this.#send(ready.messages.filter(isNews));
  }

  /**
   * What is on disk and not committed may yet be cut off, and others take its place: only what is
   * both stays. (The state store never takes back what it was once allowed.)
   */
  #allowStateOnDisk(): void {
    const { flushedIndex, commitIndex } = this.#node;
    this.#options.stateStore.allowDisk(Math.min(flushedIndex, commitIndex));
  }

  #onEvent(event: CoreEvent): void {
    if (event.type === 'role') {
      const leads = event.role === 'leader';
      if (this.#wasLeader && !leads) this.#proposals.leadershipLost(event.leader);
      this.#wasLeader = leads;
    }
    this.#options.onEvent(event);
  }

  #send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const byMember = new Map<MemberId, Message[]>();
    for (const message of messages) {
      const list = byMember.get(message.to);
      if (list === undefined) byMember.set(message.to, [message]);
      else list.push(message);
    }
    for (const [member, list] of byMember) this.#options.transport.send(member, list);
  }

  #persist(write: DiskWrite, behind: Message[]): void {
    this.#behindLastWrite = behind;
    this.#options.logStore.append(write, (error) => {
      if (this.#stopped) return;
      if (error !== null) {
        this.#fail(error);
        return;
      }
      if (this.#behindLastWrite === behind) this.#behindLastWrite = null;
      this.#send(behind);
      this.#enqueue({ type: 'persisted', sequence: write.sequence });
    });
  }

  /** Promises without a write of their own: they lean on the last one under way, if there is one. */
  #sendBehindWrites(messages: readonly Message[]): void {
    if (this.#behindLastWrite === null) this.#send(messages);
    else this.#behindLastWrite.push(...messages);
  }

  #load(request: LoadRequest): void {
    const { member, fromIndex, toIndex, bytesMax } = request;
    this.#options.logStore.read({ fromIndex, toIndex, bytesMax }, (error, entries) => {
      if (this.#stopped) return;
      if (error !== null) this.#fail(error);
      else this.#enqueue({ type: 'loaded', member, entries });
    });
  }

  #afterApply(): void {
    this.#reads.applied(this.appliedIndex);
    // Only to let the log's cache go: it may wait for the next turn, whatever brings it.
    this.#events.push({ type: 'applied', index: this.appliedIndex });
    if (!this.#inTurn) this.#options.afterTurn();
  }

  #fail(cause: unknown): void {
    if (this.#stopped) return;
    const error = asBalsaError(cause);
    // What failed is this replica, not the requests: another one can answer them.
    const message = `the replica stops: ${error.message}`;
    this.#halt(new BalsaError('SHUTTING_DOWN', message, { cause: error }));
    this.#options.onFailure(error);
  }

  #halt(error: BalsaError): void {
    this.#stopped = true;
    this.#ticker.stop();
    this.#applier.stop();
    this.#proposals.abandon(error);
    this.#reads.abandon(error);
    this.#options.afterTurn();
  }
}

/** Tells a follower the commit index and nothing else. */
function isNews(message: Message): boolean {
  return message.type === 'AppendEntries' && message.entries.length === 0;
}

function stopping(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'the replica is stopping');
}
