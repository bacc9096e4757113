import { asBalsaError, BalsaError } from '../base/errors.js';
import type { WriteBatch } from '../base/operation.js';
import { namesMember } from '../raft/configuration.js';
import type { RaftNode } from '../raft/raft-node.js';
import type {
  ConfigurationChange,
  CoreEvent,
  Entry,
  LoadRequest,
  LogIndex,
  MemberId,
  Message,
  RaftEvent,
  Ready,
} from '../raft/types.js';
import type { Channel } from '../rpc/channel.js';
import type { AnswerMeta, ReadLevel } from '../rpc/protocol.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { BatchAnswer } from '../statemachine/types.js';
import type { DurableStateStore } from '../storage/snapshot.js';
import { Applier } from './applier.js';
import type { Calls } from './calls/calls.js';
import type { Compaction } from './compaction.js';
import { DiskOrder } from './disk-order.js';
import { Duties } from './duties.js';
import { MessageSender } from './message-sender.js';
import { PendingChanges, type RequestDone } from './pending-changes.js';
import { PendingTransfers } from './pending-transfers.js';
import { type BatchFacts, notLeader, type Proposals, type WriteDone } from './proposals.js';
import { ReadLevels } from './read-levels.js';
import type { ChannelReceiver, ReplicaOptions, SnapshotStatus } from './replica-options.js';
import {
  commandVersion,
  makeCalls,
  makeCompaction,
  makeNode,
  makeProposals,
  makeStateHashes,
  stopping,
  tellStateHash,
} from './replica-parts.js';
import type { InstalledState } from './snapshot-installer.js';
import { SnapshotTraffic } from './snapshot-traffic.js';
import type { StateHashes } from './state-hash.js';
import type { DiskUse, StoreFacts } from './store-requests.js';
import { Ticker } from './ticker.js';
import type { StateCheckpoint } from './transport.js';
import type { ReadDone } from './waiting-reads.js';
import { WatchHub } from './watch-hub.js';

const LINEARIZABLE = { consistency: 'linearizable', bound: 0 } as const;

/** How many election timeouts a new leader may take to come forward after a transfer. */
const TRANSFER_PATIENCE = 5;

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
  readonly #reads: ReadLevels;
  readonly #changes: PendingChanges;
  readonly #transfers: PendingTransfers;
  readonly #applier: Applier;
  readonly #compaction: Compaction;
  readonly #disk: DiskOrder;
  readonly #snapshots: SnapshotTraffic;
  readonly #hashes: StateHashes;
  readonly #ticker: Ticker;
  readonly #duties: Duties;
  readonly #sender: MessageSender;
  /** What clients watch here. */
  readonly watches: WatchHub;
  readonly calls: Calls;
  #machine: StateMachine;
  #store: DurableStateStore;
  /** What is read has applied as much: one that was let in begins with nothing, and nothing is there while the state is switched. */
  #readableFrom: LogIndex;
  #events: RaftEvent[] = [];
  #turnPlanned = false;
  #inTurn = false;
  #stopped = false;
  #refusesWrites = false;
  #wasLeader = false;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#machine = options.machine;
    this.#store = options.vault.current;
    this.#readableFrom = namesMember(options.configuration, options.id) ? 0 : 1;
    const { id, clock, limits, nameOf } = options;
    this.#sender = new MessageSender(clock, options.transport);
    const node = makeNode(options);
    this.#node = node;
    const machine = (): StateMachine => this.#machine;
    const enqueue = (event: RaftEvent): void => this.#enqueue(event);
    const onFailure = (error: unknown): void => this.#fail(error);
    this.#proposals = makeProposals(options, node, machine, () => this.#duties.logTimeMs);
    this.#duties = new Duties({
      ...{ clock, limits, machine },
      commandVersion: () => commandVersion(options, node, machine),
      ...{ store: () => this.#store, proposals: () => this.#proposals },
      ...{ planTurn: () => this.#planTurn(), onFailure },
    });
    this.#reads = new ReadLevels({
      ...options,
      readableIndex: () => {
        const { appliedIndex } = this.#machine;
        return appliedIndex >= this.#readableFrom ? appliedIndex : -1;
      },
      isEmpty: () => this.#readableFrom === 1 && this.#machine.appliedIndex === 0,
      planTurn: () => this.#planTurn(),
    });
    this.#changes = new PendingChanges({ id, nameOf });
    const patienceMs = TRANSFER_PATIENCE * options.electionTicks * options.tickMs;
    this.#transfers = new PendingTransfers({ id, clock, nameOf, patienceMs });
    this.#applier = this.#makeApplier();
    this.#compaction = makeCompaction(options, node, {
      ...{ store: () => this.#store, snapshots: () => this.#snapshots, enqueue, onFailure },
    });
    this.calls = makeCalls(options, node, {
      ...{ machine, watches: () => this.watches },
      logTimeMs: () => this.#duties.storeFacts.logTimeMs,
      canRun: () => node.role === 'leader' && this.#duties.logTimeMs !== null && !this.#stopped,
      isQuiet: () => this.appliedIndex >= node.lastIndex,
      ...{ proposals: this.#proposals, planTurn: () => this.#planTurn() },
      ...{ confirm: (done) => this.read(LINEARIZABLE, done), onFailure },
    });
    this.#disk = new DiskOrder({
      ...{ logStore: options.logStore, isStopped: () => this.#stopped, onFailure },
      send: (messages) => this.#sender.send(messages),
      onPersisted: (sequence) => enqueue({ type: 'persisted', sequence }),
    });
    this.#snapshots = new SnapshotTraffic({
      ...{ options, node, enqueue, onFailure },
      ...{ store: () => this.#store, appliedIndex: () => this.appliedIndex },
      // All writes so far are durable, and the log is not being cut.
      quiet: (callback) => this.#compaction.suspend(() => this.#disk.whenDurable(callback)),
      ...{ onSwitching: () => this.#readNoMore(), onSwitched: (state) => this.#switched(state) },
    });
    this.#hashes = makeStateHashes(options, node, onFailure);
    this.watches = new WatchHub({ clock, limits, onFailure }, this.#machine);
    this.#ticker = new Ticker(clock, options.tickMs, () => this.#ticked());
    this.#watch(this.#store);
  }

  #makeApplier(): Applier {
    const { logStore, clock, limits, failpoints } = this.#options;
    return new Applier({
      ...{ logStore, clock, limits, failpoints },
      state: { machine: this.#machine, stateStore: this.#store },
      cached: (from, to, bytesMax) => this.#node.entries(from, to, bytesMax),
      onApplied: (entry, answers) => this.#applied(entry, answers),
      onProgress: () => this.#afterApply(),
      onFailure: (error) => this.#fail(error),
    });
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

  /** The state as it is now. Another one when a snapshot was installed: it must not be kept. */
  get machine(): StateMachine {
    return this.#machine;
  }

  /** Of the state that is read: with a snapshot's, before the core has heard of it. */
  get appliedIndex(): LogIndex {
    return this.#machine.appliedIndex;
  }

  /** Name of the leader, as far as this replica knows. */
  get leader(): string | null {
    const { leader } = this.#node;
    return leader === null ? null : this.#options.nameOf(leader);
  }

  /** See {@link ReadLevels.lag}. */
  get lag(): number | null {
    return this.#reads.lag;
  }

  get snapshots(): SnapshotStatus {
    return this.#snapshots.status;
  }

  get storeFacts(): StoreFacts {
    return this.#duties.storeFacts;
  }

  /** What state and log take on the disk. */
  async diskUse(): Promise<DiskUse> {
    const logBytes = this.#options.logStore.stats().bytes;
    return { stateBytes: await this.#store.diskBytes(), logBytes };
  }

  /** For an answer that is given now. `boundMs`: the state was just found to be no older. */
  meta(boundMs = Number.POSITIVE_INFINITY): AnswerMeta {
    const { revision, appliedIndex } = this.#machine;
    const { stalenessMs: ageMs, side } = this.#reads.facts();
    const stalenessMs = ageMs === null ? null : Math.min(ageMs, boundMs);
    return { term: this.#node.term, revision, appliedIndex, stalenessMs, side };
  }

  receive(message: Message): void {
    if (message.from === this.#node.leader) this.#ticker.leaderHeard();
    this.#enqueue({ type: 'message', message });
  }

  /** The connection from a member was closed; or it stands, and what was sent to that member lately may be lost. */
  lost(type: 'disconnected' | 'messages-lost', member: MemberId): void {
    this.#enqueue({ type, member });
  }

  /** Another member says what state it has after some entry. */
  receiveStateHash(from: MemberId, checkpoint: StateCheckpoint): void {
    if (!this.#stopped) this.#hashes.received(from, checkpoint);
  }

  /** Another member has opened a stream to `PEER_SNAPSHOT_PATH`. */
  acceptSnapshot(channel: Channel): ChannelReceiver {
    return this.#snapshots.acceptSnapshot(channel);
  }

  /** A client has opened a stream to `CLIENT_SNAPSHOT_PATH`. */
  acceptBackup(channel: Channel): ChannelReceiver {
    return this.#snapshots.acceptBackup(channel);
  }

  /**
   * Writes a batch; `done` is called once, when it was applied or cannot be. The batch must have
   * been checked (keys, sizes, encoding): what is in the log cannot be refused any more.
   */
  write(batch: WriteBatch, facts: BatchFacts, done: WriteDone): void {
    if (this.#stopped || this.#refusesWrites) {
      done({ ok: false, error: stopping().withOutcome('not-applied') });
    } else if (this.#node.role === 'leader') {
      this.#proposals.add(batch, facts, done);
      this.#planTurn();
    } else {
      done({ ok: false, error: notLeader(this.leader, 'not-applied') });
    }
  }

  /** Calls `done(null)` when {@link machine} may be read at this level. */
  read(level: ReadLevel, done: ReadDone): void {
    if (this.#stopped) done(stopping());
    else this.#reads.read(level, done);
  }

  /**
   * Changes the members. `done(null)`: it is committed, and the joint configuration left. Errors:
   * `NOT_LEADER` (outcome `unknown` when leadership was lost meanwhile), `CONFIGURATION_CONFLICT`,
   * `CHANGE_PENDING`, `QUORUM_AT_RISK`, `NOT_CAUGHT_UP`, `INVALID_ARGUMENT`, `SHUTTING_DOWN`.
   */
  changeMembers(change: ConfigurationChange, done: RequestDone): void {
    if (this.#stopped) done(stopping().withOutcome('not-applied'));
    else this.#enqueue(this.#changes.ask(change, done));
  }

  /**
   * Hands leadership over, to whom the leader thinks best when `target` is `null`. `done(null)`: another
   * member leads, or the target leads already. Errors: `NOT_LEADER`, `TRANSFER_FAILED`, `INVALID_ARGUMENT`, `SHUTTING_DOWN`.
   */
  transfer(target: MemberId | null, done: RequestDone): void {
    if (this.#stopped) done(stopping());
    else this.#enqueue(this.#transfers.ask(target, done));
  }

  /** From now on writes and calls are answered `SHUTTING_DOWN`; those taken in before go on. */
  refuseWrites(): void {
    this.#refusesWrites = true;
    this.calls.refuse(stopping());
  }

  /** Writes that were taken in are answered, and others have what `ap` calls have left here, and its tasks, as far as they can be reached. */
  get isDrained(): boolean {
    return this.#proposals.pendingBytes === 0 && this.calls.isHandedOn;
  }

  /** Answers all that waits with `SHUTTING_DOWN` and does no more. The stores stay open. */
  stop(): void {
    if (!this.#stopped) this.#halt(stopping());
  }

  /** After it has stopped: nothing uses the stores any more, they may be closed. */
  async whenIdle(): Promise<void> {
    const { executor, taskExecutor } = this.#options;
    await Promise.all([executor?.close(), taskExecutor?.close()]);
    await this.#snapshots.whenIdle();
    await new Promise<void>((resolve) => this.#compaction.suspend(resolve));
  }

  #enqueue(event: RaftEvent): void {
    if (this.#stopped) return;
    this.#events.push(event);
    this.#planTurn();
  }

  #ticked(): void {
    this.#beginTick('push');
    // At once: what it sends, and what the calls have to say, goes to each member together.
    this.#turn();
    this.calls.tick();
  }

  #planTurn(): void {
    if (this.#turnPlanned || this.#stopped) return;
    this.#turnPlanned = true;
    this.#options.clock.defer(() => {
      const ticks = this.#ticker.woken();
      for (let i = 0; i < ticks; i += 1) this.#beginTick('unshift');
      this.#turn();
      for (let i = 0; i < ticks; i += 1) this.calls.tick();
    });
  }

  /** What was due comes before what has come, and in the same step: who has enqueued something is told of the next one. */
  #beginTick(where: 'push' | 'unshift'): void {
    this.#duties.tick();
    this.#events[where]({ type: 'tick' });
    this.#reads.ticked(this.appliedIndex);
  }

  #turn(): void {
    this.#turnPlanned = false;
    if (this.#stopped) return;
    this.#inTurn = true;
    try {
      const events = this.#events;
      this.#events = [];
      for (const event of [...this.#proposals.take(), ...this.#reads.take()]) events.push(event);
      const { clock } = this.#options;
      this.#carryOut(this.#node.step(events, clock.monotonicMs(), clock.wallMs()));
    } catch (error) {
      this.#fail(error);
    }
    this.#inTurn = false;
  }

  /** In the order that `Ready` states. */
  #carryOut(ready: Ready): void {
    this.#sender.send(ready.messages);
    if (ready.write === null) this.#disk.sendBehind(ready.messagesAfterPersist);
    else {
      this.#compaction.appended(ready.write.entries);
      this.#disk.persist(ready.write, ready.messagesAfterPersist);
    }
    // Before the events: a proposal taken in the same step in which leadership was lost is lost too.
    for (const answer of ready.proposals) this.#proposals.answered(answer);
    for (const answer of ready.configurationChanges)
      this.#changes.answered(answer, ready.commitIndex);
    for (const answer of ready.transfers) this.#transfers.answered(answer);
    for (const event of ready.events) this.#onEvent(event);
    this.#allowStateOnDisk();
    for (const load of ready.loads) this.#load(load);
    for (const { member } of ready.snapshots) this.#snapshots.send(member);
    this.#decideInstall(ready);
    this.#applier.advance(ready.commitIndex);
    for (const answer of ready.reads) this.#reads.answered(answer, this.#node.leader !== null);
    this.#compaction.consider();
    this.#options.afterTurn();
  }

  /** Behind `write`: the installation waits for all writes so far. */
  #decideInstall({ install }: Ready): void {
    if (install !== null) for (const part of [this.#applier, this.watches]) part.pause();
    this.#snapshots.decided(install);
  }

  #readNoMore(): void {
    this.#readableFrom = Number.POSITIVE_INFINITY;
  }

  /** The state of a snapshot has taken the place of the old one. */
  #switched({ store, machine }: InstalledState): void {
    this.#store = store;
    this.#machine = machine;
    this.#watch(store);
    this.#readableFrom = 0;
    this.watches.follow(machine);
    this.#reads.applied();
    this.calls.wake();
    this.#options.afterTurn();
  }

  #watch(store: DurableStateStore): void {
    store.onFailure((error) => {
      // One that was replaced is of no concern any more.
      if (store === this.#store) this.#fail(error);
    });
  }

  /**
   * What is on disk and not committed may yet be cut off, and others take its place: only what is
   * both stays. (The state store never takes back what it was once allowed.)
   */
  #allowStateOnDisk(): void {
    if (this.#snapshots.installing) return;
    const { flushedIndex, commitIndex } = this.#node;
    this.#store.allowDisk(Math.min(flushedIndex, commitIndex));
  }

  #onEvent(event: CoreEvent): void {
    if (event.type === 'role') this.#roleChanged(event);
    else if (event.type === 'configuration') this.#configured(event);
    else if (event.type === 'snapshot' && event.phase === 'installed') this.#installed();
    this.#options.onEvent(event);
  }

  #roleChanged({ role, leader }: CoreEvent & { type: 'role' }): void {
    const leads = role === 'leader';
    if (role !== 'follower' || leader === null) this.#ticker.alone();
    if (leader === null) this.#reads.leaderLost();
    if (this.#wasLeader && !leads) {
      this.#proposals.leadershipLost(leader);
      this.#changes.leadershipLost(leader);
      this.#snapshots.leadershipLost();
      this.calls.abandon(notLeader(this.leader));
    }
    this.#duties.roleChanged(leads);
    this.#wasLeader = leads;
    if (leader !== null) this.#transfers.led(leader);
  }

  #configured({ configuration, committed }: CoreEvent & { type: 'configuration' }): void {
    // Who is a member no more hears of it by this, and soon there is no connection to it.
    this.#sender.flush();
    if (committed) this.#changes.committed(configuration);
    this.#snapshots.membersChanged((member) => namesMember(this.#node.configuration, member));
  }

  #installed(): void {
    this.#snapshots.installed();
    this.#compaction.resume(this.#node.logStart);
    this.#applier.resume({ machine: this.#machine, stateStore: this.#store });
  }

  /** When the log no longer holds it, the core is told so by no entries. */
  #load({ member, fromIndex, toIndex, bytesMax }: LoadRequest): void {
    this.#options.logStore.read({ fromIndex, toIndex, bytesMax }, (error, entries) => {
      if (this.#stopped) return;
      if (error !== null) this.#fail(error);
      else this.#enqueue({ type: 'loaded', member, entries });
    });
  }

  #applied(entry: Entry, answers: readonly BatchAnswer[]): void {
    this.#duties.applied(entry.term === this.#node.term);
    this.#proposals.applied(entry, answers);
    if (entry.index % this.#options.limits.stateHashEntries !== 0) return;
    const checkpoint = { index: entry.index, hash: this.#machine.stateHash };
    tellStateHash(this.#options, this.#node, checkpoint);
    this.#hashes.own(checkpoint);
  }

  #afterApply(): void {
    this.watches.flush();
    this.#reads.applied();
    this.calls.wake();
    // Only to let the log's cache go: it may wait for the next turn, whatever brings it.
    this.#events.push({ type: 'applied', index: this.#applier.appliedIndex });
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
    for (const part of [this.#ticker, this.#duties, this.#applier, this.#sender]) part.stop();
    this.#snapshots.stop(error);
    this.#proposals.abandon(error);
    this.calls.close(error);
    for (const part of [this.#reads, this.#changes, this.#transfers]) part.abandon(error);
    this.watches.stop(error);
    this.#options.afterTurn();
  }
}
