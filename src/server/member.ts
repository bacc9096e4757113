import { type Clock, systemClock } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import { seededRandom } from '../base/random.js';
import type { CoreEvent, MemberId } from '../raft/types.js';
import type { HealthSource } from '../rpc/health.js';
import {
  type MemberAddress,
  PROTOCOL_VERSION,
  type ReplicaHello,
  type ReplicaStatus,
} from '../rpc/protocol.js';
import { ClientService } from './client-service.js';
import type { ServerConfig } from './config.js';
import type { DataFolder, FolderMeta } from './data-folder.js';
import { Formation, formedConfiguration, memberId } from './formation.js';
import { Listener } from './listener.js';
import type { Logger } from './log.js';
import { Peers } from './peers.js';
import { RefusalWatch } from './refusal-watch.js';
import { Replica } from './replica.js';
import type { Server } from './server.js';
import { replicaStatus } from './status.js';
import type { Stores } from './stores.js';

/** How long a stopping replica waits for writes that are in the log. */
const DRAIN_MS = 3000;
/** How long streams may take to end by themselves. */
const CLOSE_GRACE_MS = 500;
/** A replica further behind than this is not ready (health check). */
const READY_LAG_MAX = 10_000;
/** Ticks of the consensus module in one heartbeat interval. */
const TICKS_PER_HEARTBEAT = 4;

interface Parts {
  readonly config: ServerConfig;
  readonly folder: DataFolder;
  readonly meta: Omit<FolderMeta, 'format'>;
  readonly stores: Stores;
  readonly log: Logger;
}

/** One member of a cluster: forms it or finds it, then runs a {@link Replica} behind a listener. */
export class Member implements Server {
  readonly stopped: Promise<BalsaError | null>;
  readonly #parts: Parts;
  readonly #clock: Clock = systemClock;
  readonly #random = seededRandom(Math.floor(Math.random() * Number.MAX_SAFE_INTEGER));
  readonly #formation: Formation;
  readonly #clients: ClientService;
  readonly #peers: Peers;
  readonly #members: readonly MemberAddress[];
  readonly #startedMs: number;
  readonly #refusals: RefusalWatch;
  readonly #healthListeners = new Set<() => void>();
  #replica: Replica | null = null;
  #listener: Listener | null = null;
  #address = '';
  #closing: Promise<void> | null = null;
  #stopping = false;
  #failure: BalsaError | null = null;
  #wasReady = false;
  #resolveStopped: (error: BalsaError | null) => void = () => {};

  static async start(parts: Parts): Promise<Member> {
    const member = new Member(parts);
    await member.#open();
    return member;
  }

  private constructor(parts: Parts) {
    const { config, meta } = parts;
    this.#parts = parts;
    this.#startedMs = this.#clock.monotonicMs();
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve;
    });
    const names = Object.keys(config.members);
    this.#members = names.map((name) => ({ name, address: config.members[name] as string }));
    const self = { name: config.name, incarnation: meta.incarnation };
    this.#formation = new Formation({
      clusterName: config.cluster,
      self,
      names,
      restored: meta.formation && {
        members: meta.formation,
        isFormed: meta.clusterId !== null,
      },
    });
    this.#refusals = new RefusalWatch(names.length, {
      log: parts.log,
      onFatal: (error) => this.#failed(error),
    });
    this.#clients = this.#clientService();
    this.#peers = this.#peerTransport(self);
  }

  get name(): string {
    return this.#parts.config.name;
  }

  get address(): string {
    return this.#address;
  }

  status(): ReplicaStatus {
    const { config, meta, stores } = this.#parts;
    return replicaStatus({
      config,
      incarnation: meta.incarnation,
      clusterId: this.#formation.formed?.clusterId ?? '',
      members: this.#members,
      missing: this.#formation.missing,
      replica: this.#replica,
      stores,
      nameOf,
      clientStreams: this.#clients.streams,
      uptimeMs: this.#clock.monotonicMs() - this.#startedMs,
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutdown();
    return this.#closing;
  }

  async #open(): Promise<void> {
    const { config, log } = this.#parts;
    const opened = await Listener.open({
      listen: config.listen,
      limits: config.limits,
      health: this.#health(),
      acceptPeer: (channel) => this.#peers.accept(channel),
      acceptClient: (channel) => {
        const connection = this.#clients.accept(channel);
        return {
          receive: (frame) => connection.receive(frame),
          closed: () => this.#clients.closed(connection),
        };
      },
    });
    this.#listener = opened.listener;
    this.#address = opened.address;
    log.info({ address: opened.address, dataFolder: config.dataFolder }, 'listening');
    try {
      if (this.#formation.formed !== null) this.#startReplica();
      else if (this.#members.length === 1) this.#formAlone();
    } catch (error) {
      await opened.listener.close(0);
      throw error;
    }
    this.#peers.start();
  }

  #formAlone(): void {
    this.#formation.formAlone();
    this.#formationStep();
  }

  /** A step of the forming of the cluster: on disk before anybody hears of it, or votes. */
  #formationStep(): void {
    const { folder, meta, log } = this.#parts;
    const { formed, bound } = this.#formation;
    if (bound === null || this.#stopping) return;
    const clusterId = formed?.clusterId ?? null;
    folder.writeMeta({ ...meta, clusterId, formation: [...bound] });
    if (formed === null) return;
    log.info({ clusterId, members: bound }, 'cluster formed');
    this.#startReplica();
  }

  #startReplica(): void {
    const { config, stores } = this.#parts;
    const { formed } = this.#formation;
    if (formed === null || this.#replica !== null) return;
    const tickMs = config.heartbeatMs / TICKS_PER_HEARTBEAT;
    this.#replica = new Replica({
      id: memberId({ name: config.name, incarnation: this.#parts.meta.incarnation }),
      configuration: formedConfiguration(formed.members),
      clock: this.#clock,
      random: this.#random,
      limits: config.limits,
      tickMs,
      electionTicks: Math.ceil(config.electionTimeoutMs / tickMs),
      heartbeatTicks: TICKS_PER_HEARTBEAT,
      transport: this.#peers,
      logStore: stores.logStore,
      stateStore: stores.stateStore,
      machine: stores.machine,
      failpoints: stores.failpoints,
      nameOf,
      onEvent: (event) => this.#onEvent(event),
      afterTurn: () => {
        this.#clients.flush();
        this.#tellHealth();
      },
      onFailure: (error) => this.#failed(error),
    });
    this.#replica.start();
  }

  #onEvent(event: CoreEvent): void {
    const { log } = this.#parts;
    if (event.type !== 'role') {
      log.info({ configuration: event.configuration }, 'configuration');
      return;
    }
    const leader = event.leader === null ? null : nameOf(event.leader);
    log.info({ role: event.role, term: event.term, leader, reason: event.reason }, 'role');
    this.#clients.leaderChanged(leader, event.term);
  }

  /** Readiness changes with the leader, and as the replica catches up. */
  #tellHealth(): void {
    const ready = this.#isReady();
    if (ready === this.#wasReady) return;
    this.#wasReady = ready;
    for (const listener of this.#healthListeners) listener();
  }

  #isReady(): boolean {
    const replica = this.#replica;
    if (replica === null || replica.leader === null || this.#stopping) return false;
    return replica.node.commitIndex - replica.appliedIndex <= READY_LAG_MAX;
  }

  #clientService(): ClientService {
    const { config, stores } = this.#parts;
    const member = this;
    return new ClientService(
      {
        limits: config.limits,
        failpoints: stores.failpoints,
        get serving() {
          const replica = member.#replica;
          return replica === null ? null : { replica, machine: stores.machine };
        },
        notServingReason: () =>
          new BalsaError(
            'NO_QUORUM',
            `the cluster is being formed: ${config.name} waits for ${this.#formation.missing.join(', ')}`,
            { details: { missing: this.#formation.missing } },
          ),
        hello: () => this.#hello(),
        status: () => JSON.stringify(this.status()),
      },
      this.#clock,
    );
  }

  #peerTransport(self: { name: string; incarnation: string }): Peers {
    const { config, log } = this.#parts;
    return new Peers({
      clock: this.#clock,
      random: this.#random,
      limits: config.limits,
      clusterName: config.cluster,
      self,
      addresses: new Map(this.#members.map((m) => [m.name, m.address])),
      formation: this.#formation,
      onMessage: (message) => this.#replica?.receive(message),
      onDisconnected: (member) => this.#replica?.disconnected(member),
      onFormation: () => {
        try {
          this.#formationStep();
        } catch (error) {
          this.#failed(asBalsaError(error));
          throw error;
        }
      },
      onFailure: (error) => this.#failed(error),
      onConnected: (peer) => this.#refusals.accepted(peer),
      onRefused: (peer, error) => this.#refusals.refused(peer, error),
      log: (level, fields, text) => log[level](fields, text),
    });
  }

  #hello(): ReplicaHello {
    const { config } = this.#parts;
    const { limits } = config;
    return {
      protocolVersion: PROTOCOL_VERSION,
      clusterId: this.#formation.formed?.clusterId ?? '',
      clusterName: config.cluster,
      replica: config.name,
      members: this.#members,
      leader: this.#replica?.leader ?? null,
      appliedIndex: this.#replica?.appliedIndex ?? 0,
      keyBytesMax: limits.keyBytesMax,
      valueBytesMax: limits.valueBytesMax,
      operationsPerBatchMax: limits.operationsPerBatchMax,
      batchBytesMax: limits.batchBytesMax,
      frameBytesMax: limits.frameBytesMax,
      batchesPerSessionMax: limits.batchesPerSessionMax,
    };
  }

  #health(): HealthSource {
    return {
      ready: () => this.#isReady(),
      onChange: (callback) => {
        this.#healthListeners.add(callback);
        return () => this.#healthListeners.delete(callback);
      },
    };
  }

  #failed(error: BalsaError): void {
    this.#parts.log.fatal(
      { code: error.code, details: error.details, reason: error.message },
      'stopped',
    );
    this.#failure ??= error;
    this.#closing ??= this.#shutdown();
  }

  async #shutdown(): Promise<void> {
    const { log, stores } = this.#parts;
    const replica = this.#replica;
    this.#stopping = true;
    this.#tellHealth();
    if (this.#failure === null && replica !== null) await this.#drain(replica);
    replica?.stop();
    this.#clients.endAll(new BalsaError('SHUTTING_DOWN', `${this.name} is stopping`));
    this.#peers.stop();
    await this.#listener?.close(CLOSE_GRACE_MS);
    try {
      await stores.close();
    } catch (error) {
      // The first cause is what the operator needs; a disk that failed also fails to close.
      log.error({ reason: asBalsaError(error).message }, 'closing the stores failed');
      this.#failure ??= asBalsaError(error);
    }
    log.info({ cleanly: this.#failure === null }, 'replica stopped');
    log.flush();
    this.#resolveStopped(this.#failure);
  }

  /** New writes are refused; those in the log are answered first. */
  async #drain(replica: Replica): Promise<void> {
    replica.refuseWrites();
    const deadlineMs = this.#clock.monotonicMs() + DRAIN_MS;
    while (replica.pendingWriteBytes > 0 && this.#clock.monotonicMs() < deadlineMs) {
      await new Promise<void>((resolve) => this.#clock.setTimer(5, resolve));
    }
  }
}

function nameOf(member: MemberId): string {
  return member.slice(0, member.lastIndexOf('.'));
}
