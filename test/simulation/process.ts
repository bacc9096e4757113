import { BalsaError } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { formedWith } from '../../src/raft/configuration.js';
import type { Entry, LogPosition, MemberId, Message } from '../../src/raft/types.js';
import type { ChannelHandlers } from '../../src/rpc/channel.js';
import {
  type MemberAddress,
  PEER_SNAPSHOT_PATH,
  PROTOCOL_VERSION,
  PROTOCOL_VERSION_MIN,
} from '../../src/rpc/protocol.js';
import { ClientService } from '../../src/server/client-service.js';
import { finishInstall } from '../../src/server/finish-install.js';
import { ownFormats } from '../../src/server/formats.js';
import { nameOf } from '../../src/server/member-id.js';
import { Replica } from '../../src/server/replica.js';
import { StateMachine } from '../../src/statemachine/state-machine.js';
import type { StateStore } from '../../src/statemachine/state-store.js';
import type { WritesListener } from '../../src/statemachine/types.js';
import { DeltaQueue } from '../../src/storage/delta-queue.js';
import type { LogStore, RestoredLog } from '../../src/storage/log-store.js';
import type { MemoryStateVault } from '../../src/storage/memory-state-vault.js';
import { Wal } from '../../src/storage/wal/wal.js';
import type { Machine, Surroundings } from './machine.js';
import { NativeExecutor } from './native-executor.js';
import type { StreamHandlers } from './network.js';
import { isQuorum } from './quorums.js';
import { LEASE_DRIFT_MARGIN } from './swarm.js';

/** A replica that runs on a machine. Its code is that of production; what it stands on is simulated. */
export interface Process {
  readonly replica: Replica;
  /** Begins to serve. */
  open(): void;
  /** Ends in an orderly way. */
  close(): Promise<void>;
}

const FORMATS = ownFormats('');
const CLUSTER = { name: 'simulated', id: 'simulated' };

/** Opens what is on the disk, which takes simulated time. */
export async function startProcess(
  machine: Machine,
  vault: MemoryStateVault,
  world: Surroundings,
): Promise<Process> {
  const { scheduler, options, invariants, coverage, calls } = world;
  const clock = machine.time.clock();
  const { life } = machine.time;
  const wal = Wal.open({
    folder: 'wal',
    files: machine.disk.files,
    failpoints: machine.failpoints,
    limits: options.limits,
    clock,
    salt: scheduler.random.int(2 ** 31),
  });
  invariants.started(machine.id, wal.restored);
  if (wal.repairs.length > 0) coverage.count('restart: torn tail of the log repaired');
  if (vault.current.restoredIndex < wal.restored.hardState.commitIndex) {
    coverage.count('restart: state behind the log');
  }
  const logStore = watchedLog(wal, machine, world);
  const restoredLog = await finishInstall(vault, logStore);
  if (restoredLog !== wal.restored) coverage.count('restart: installation of a snapshot finished');
  const { sessionIdleMsMax = LIMITS.sessionIdleMsMax } = options;
  let how: 'restart' | 'snapshot' = 'restart';
  const openMachine = async (store: StateStore): Promise<StateMachine> => {
    const bounds = { sessionIdleMsMax, ...options.calls?.bounds, ...options.ap?.bounds };
    const opened = watchedMachine(await StateMachine.open(store, bounds), machine, world);
    await calls?.opened(store, opened, how);
    return opened;
  };
  const deltas = DeltaQueue.open({
    folder: 'ap',
    files: machine.disk.files,
    // So that there are many, and some of them are removed.
    segmentBytes: 6000,
    failpoints: machine.failpoints,
    random: scheduler.random,
    clock,
    onFailure: (error) => {
      // Of a process that was ended within a step of the queue this is the end, and no failure.
      if (life === machine.time.life) machine.failed(error);
    },
  });
  if (deltas.repairs.length > 0) coverage.count('restart: torn tail of the deltas repaired');
  const stateMachine = await openMachine(vault.current);
  how = 'snapshot';
  const parts = { machine, world, clock, wal, logStore, restoredLog, vault, deltas };
  return new RunningReplica({ ...parts, stateMachine, openMachine });
}

interface Parts {
  readonly machine: Machine;
  readonly world: Surroundings;
  readonly clock: ReturnType<Machine['time']['clock']>;
  readonly wal: Wal;
  readonly deltas: DeltaQueue;
  readonly logStore: LogStore;
  readonly restoredLog: RestoredLog;
  readonly vault: MemoryStateVault;
  readonly stateMachine: StateMachine;
  readonly openMachine: (store: StateStore) => Promise<StateMachine>;
}

class RunningReplica implements Process {
  readonly replica: Replica;
  readonly #parts: Parts;
  readonly #clients: ClientService;
  readonly #life: number;
  readonly #heard: () => void;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { machine, world } = parts;
    this.#life = machine.time.life;
    this.replica = this.#replica();
    this.#watchSubmitted();
    const only = new Set([machine.id]);
    const isAlone = (): boolean =>
      world.invariants.activeConfigurations.some((active) => isQuorum(active, only));
    this.#heard = world.freshness.watch(this.replica, machine.id, isAlone).heard;
    this.#clients = this.#clientService();
  }

  open(): void {
    const { machine, world } = this.#parts;
    const { place, address, id } = machine;
    world.network.attach(id, {
      place,
      receive: (message) => {
        machine.isBound = true;
        this.#enter(() => {
          this.#heard();
          this.replica.receive(message);
        });
      },
      receiveStateHash: (from, checkpoint) =>
        this.#enter(() => this.replica.receiveStateHash(from, checkpoint)),
      receiveDeltas: (from, frame) =>
        this.#enter(() => this.replica.calls.receiveDeltas(from, frame)),
      receiveJobs: (from, frame) => this.#enter(() => this.replica.calls.jobs.receive(from, frame)),
    });
    world.network.listen(address, {
      place,
      accept: (channel, path) =>
        this.#inProcess(() => {
          if (path === PEER_SNAPSHOT_PATH) return this.replica.acceptSnapshot(channel);
          const connection = this.#clients.accept(channel);
          return {
            receive: (frame) => connection.receive(frame),
            closed: () => this.#clients.closed(connection),
          };
        }),
    });
    this.replica.start();
  }

  async close(): Promise<void> {
    const { deltas, wal, vault, world, machine } = this.#parts;
    world.network.detach(machine.id);
    this.replica.stop();
    this.#clients.endAll(new BalsaError('SHUTTING_DOWN', `${machine.name} is stopping`));
    await this.replica.whenIdle();
    await deltas.close();
    await wal.close();
    await vault.close();
  }

  get #isAlive(): boolean {
    return this.#parts.machine.time.life === this.#life;
  }

  #enter(run: () => void): void {
    this.#parts.machine.time.enter(this.#life, 'io', run);
  }

  /** A stream is accepted, and its frames are taken, when the process runs. */
  #inProcess(accept: () => StreamHandlers): StreamHandlers {
    let handlers: StreamHandlers | null = null;
    this.#enter(() => {
      handlers = accept();
    });
    return {
      receive: (frame) => this.#enter(() => handlers?.receive(frame)),
      closed: () => this.#enter(() => handlers?.closed()),
    };
  }

  #replica(): Replica {
    const { machine, world, clock, vault, stateMachine, logStore } = this.#parts;
    const { options, scheduler, formed } = world;
    return new Replica({
      id: machine.id,
      cluster: CLUSTER,
      configuration: formedWith(formed),
      clock,
      random: seededRandom(scheduler.random.int(2 ** 31)),
      limits: options.limits,
      failpoints: machine.failpoints,
      tickMs: options.tickMs,
      electionTicks: options.electionTicks,
      heartbeatTicks: options.heartbeatTicks,
      priority: options.priorities[machine.place] ?? 100,
      leaseMs: options.leaseMs,
      leaseDriftMargin: LEASE_DRIFT_MARGIN,
      diskStallTicks: options.diskStallTicks,
      logStore,
      restoredLog: this.#parts.restoredLog,
      vault,
      machine: stateMachine,
      openMachine: this.#parts.openMachine,
      executor: this.#executor(),
      taskExecutor: this.#taskExecutor(),
      deltas: this.#parts.deltas,
      transport: {
        send: (to, messages) => this.#send(to, messages),
        sendStateHash: (to, checkpoint) => {
          if (!this.#isAlive) return;
          world.network.tell(machine.place, to, (port) =>
            port.receiveStateHash(machine.id, checkpoint),
          );
        },
        sendDeltas: (to, frame) => {
          if (!this.#isAlive) return;
          world.network.tell(machine.place, to, (port) => port.receiveDeltas(machine.id, frame));
        },
        sendJobs: (to, frame) => {
          if (!this.#isAlive) return;
          world.network.tell(machine.place, to, (port) => port.receiveJobs(machine.id, frame));
        },
      },
      dialSnapshot: (member, handlers) => this.#dialSnapshot(member, handlers),
      formats: FORMATS,
      formatsOf: (member) => {
        return world.network.haveMet(machine.place, this.#life, member) ? FORMATS : null;
      },
      nameOf,
      onEvent: (event) => {
        if (!this.#isAlive) return;
        machine.told(event);
        if (event.type === 'role') this.#clients.leaderChanged(this.replica.leader, event.term);
        else if (event.type === 'configuration') this.#clients.membersChanged(this.#members());
      },
      onNotice: (notice) => {
        const detail = 'phase' in notice ? ` ${notice.phase}` : '';
        world.coverage.count(`notice: ${notice.type}${detail}`);
        if (notice.type === 'snapshot-sending') machine.sending(notice, this.replica.node.role);
      },
      afterTurn: () => this.#afterTurn(),
      onFailure: (error) => {
        if (this.#isAlive) machine.failed(error);
      },
    });
  }

  #executor(): NativeExecutor | undefined {
    const { machine, world } = this.#parts;
    const { scheduler, options, calls } = world;
    const speed = options.calls?.speed ?? options.ap?.speed ?? options.followUps?.speed;
    if (speed === undefined) return undefined;
    const { place, time } = machine;
    return new NativeExecutor({
      ...{ scheduler, time, place, speed, random: this.#ownRandom() },
      breaksCalls: options.followUps === undefined,
      onGroup: (group, ran) =>
        calls?.groupRan(group, ran, { place, leads: this.replica.node.role === 'leader' }),
    });
  }

  #taskExecutor(): NativeExecutor | undefined {
    const { machine, world } = this.#parts;
    const { scheduler, options } = world;
    if (options.jobs === undefined) return undefined;
    const { place, time } = machine;
    const { speed } = options.jobs;
    return new NativeExecutor({
      ...{ scheduler, time, place, speed, random: this.#ownRandom() },
      ...{ breaksCalls: true, onGroup: () => {} },
    });
  }

  /** Of this life of the machine: the stream of the run is not drawn from. */
  #ownRandom(): Random {
    const { machine, world } = this.#parts;
    return seededRandom(world.options.seed * 1024 + machine.place * 64 + (this.#life % 64));
  }

  #watchSubmitted(): void {
    const { calls } = this.#parts.world;
    if (calls === null) return;
    const lane = this.replica.calls;
    const submit = lane.submit.bind(lane);
    lane.submit = (record, done) =>
      submit(record, (answer) => {
        calls.submitted(answer.ok ? null : answer.error);
        done(answer);
      });
  }

  #dialSnapshot(member: MemberId, handlers: ChannelHandlers) {
    const { machine, world } = this.#parts;
    return world.network.dial(machine.place, {
      address: `${nameOf(member)}:1`,
      path: PEER_SNAPSHOT_PATH,
      onFrame: (frame) => this.#enter(() => handlers.onFrame(frame)),
      onClose: (reason) => this.#enter(() => handlers.onClose(reason)),
    });
  }

  #afterTurn(): void {
    if (!this.#isAlive) return;
    const { machine, world } = this.#parts;
    const { node } = this.replica;
    world.invariants.turned(machine.id, {
      term: node.term,
      role: node.role,
      commitIndex: node.commitIndex,
      appliedIndex: this.replica.machine.appliedIndex,
      isInstalling: () => this.replica.snapshots.installing,
      configuration: node.configuration,
    });
    this.#clients.flush();
  }

  #send(to: MemberId, messages: readonly Message[]): void {
    const { machine, world } = this.#parts;
    if (!this.#isAlive) return;
    const sent: Message[] = [];
    for (const message of messages) {
      if (!machine.beforeMessage()) break;
      world.coverage.count(nameOfMessage(message));
      world.invariants.sent(message);
      sent.push(message);
    }
    // A crash in between: what was handed over before is on its way.
    if (sent.length > 0) world.network.send(machine.place, to, sent);
  }

  #members(): MemberAddress[] {
    const { voters, votersOutgoing, learners } = this.replica.node.configuration;
    const names = new Set([...voters, ...votersOutgoing, ...learners].map(nameOf));
    return [...names].map((name) => ({ name, address: `${name}:1` }));
  }

  #clientService(): ClientService {
    const { machine, world, clock } = this.#parts;
    const { limits } = world.options;
    const { replica } = this;
    return new ClientService(
      {
        limits,
        failpoints: machine.failpoints,
        get replica() {
          return machine.isBound ? replica : null;
        },
        tellsStatus: true,
        notServingReason: () => new BalsaError('NO_QUORUM', 'it waits to be let into the cluster'),
        hello: () => ({
          protocolVersion: PROTOCOL_VERSION,
          protocolVersionMin: PROTOCOL_VERSION_MIN,
          clusterId: machine.isBound ? CLUSTER.id : '',
          clusterName: CLUSTER.name,
          replica: machine.name,
          members: this.#members(),
          leader: replica.leader,
          appliedIndex: replica.appliedIndex,
          keyBytesMax: limits.keyBytesMax,
          valueBytesMax: limits.valueBytesMax,
          operationsPerBatchMax: limits.operationsPerBatchMax,
          batchBytesMax: limits.batchBytesMax,
          frameBytesMax: limits.frameBytesMax,
          batchesPerSessionMax: limits.batchesPerSessionMax,
        }),
        status: () => '{}',
        admin: () =>
          Promise.reject(new Error('no operator speaks to a simulated replica this way')),
      },
      clock,
    );
  }
}

/** The log, which tells of what is asked of it and of what it says. */
function watchedLog(wal: Wal, machine: Machine, { invariants, coverage }: Surroundings): LogStore {
  const { id, time } = machine;
  const { life } = time;
  /** An answer to a process that is dead is no answer. */
  const alive = (): boolean => time.life === life;
  const told =
    (done: (error: Error | null) => void, then: () => void) =>
    (error: Error | null): void => {
      if (!alive()) return;
      if (error === null) then();
      done(error);
    };
  return {
    restored: wal.restored,
    append: (write, done) => {
      if (!alive()) return;
      const { role = 'follower', term = 0, commitIndex = 0 } = machine.replica?.node ?? {};
      invariants.submitted(id, write, { role, term, commitIndex });
      wal.append(
        write,
        told(done, () => invariants.durable(id, write)),
      );
    },
    read: (range, done) => {
      wal.read(range, (error, entries) => {
        if (!alive()) return;
        coverage.count('log: entries read back');
        if (error === null && entries.length === 0) coverage.count('log: entries to read are gone');
        done(error, entries);
      });
    },
    compactTo: (position, done) => {
      if (!alive()) return;
      invariants.compacted(id, position);
      wal.compactTo(position, done);
    },
    resetTo: (position: LogPosition, done) => {
      if (!alive()) return;
      invariants.reset(id, position);
      wal.resetTo(
        position,
        told(done, () => invariants.madeReset(id, position)),
      );
    },
    stats: () => wal.stats(),
    close: () => wal.close(),
  };
}

/** The state machine, which tells of each entry that it has applied. */
function watchedMachine(
  stateMachine: StateMachine,
  machine: Machine,
  { invariants, freshness, history, calls }: Surroundings,
): StateMachine {
  const { id, time } = machine;
  const { life } = time;
  const apply = stateMachine.apply.bind(stateMachine);
  // What it begins with: of an earlier life, or of a snapshot.
  if (stateMachine.appliedIndex > 0 && time.life === life) {
    invariants.applied(id, stateMachine.appliedIndex, stateMachine.stateHash);
  }
  stateMachine.apply = (entry) => {
    const revisionBefore = stateMachine.revision;
    const answers = apply(entry);
    if (time.life === life) {
      const { term = 0 } = entry as Partial<Entry>;
      const isOfEarlierTerm = term < (machine.replica?.node.term ?? 0);
      calls?.applied(entry, {
        ...{ answers, revisionBefore, machine: stateMachine, place: machine.place },
        isOfEarlierTerm,
      });
      invariants.applied(id, entry.index, stateMachine.stateHash);
      freshness.applied(entry.index);
      const { compactedRevision } = stateMachine;
      history.compactedRevision = Math.max(history.compactedRevision, compactedRevision);
    }
    return answers;
  };
  const onWrites = stateMachine.onWrites.bind(stateMachine);
  let listener: WritesListener | null = null;
  onWrites((events) => {
    if (time.life === life) history.applied(events);
    listener?.(events);
  });
  stateMachine.onWrites = (next) => {
    listener = next;
  };
  return stateMachine;
}

function nameOfMessage(message: Message): string {
  switch (message.type) {
    case 'RequestVote': {
      const why = message.preVote ? ' (pre-vote)' : message.transfer ? ' (transfer)' : '';
      return `message: RequestVote${why}`;
    }
    case 'RequestVoteReply': {
      const answer = message.granted ? 'granted' : 'refused';
      return `message: RequestVoteReply${message.preVote ? ' (pre-vote)' : ''} ${answer}`;
    }
    case 'AppendEntries':
      return `message: AppendEntries${message.entries.length === 0 ? ' (empty)' : ''}`;
    case 'AppendEntriesReply':
      return `message: AppendEntriesReply ${message.result.success ? 'success' : 'refused'}`;
    case 'HeartbeatReply':
      return `message: HeartbeatReply${message.leaseGranted ? ' (lease granted)' : ''}`;
    default:
      return `message: ${message.type}`;
  }
}
