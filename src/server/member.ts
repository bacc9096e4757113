import { type Clock, systemClock } from '../base/clock.js';
import { asBalsaError, BalsaError, type ErrorCode } from '../base/errors.js';
import { seededRandom } from '../base/random.js';
import type { CoreEvent, MemberId } from '../raft/types.js';
import type { Channel } from '../rpc/channel.js';
import type { FormatVersions } from '../rpc/peer-protocol.js';
import type { MemberAddress, ReplicaStatus } from '../rpc/protocol.js';
import { Admin } from './admin.js';
import { ClientService } from './client-service.js';
import type { ServerConfig } from './config.js';
import { type DataFolder, GIVE_UP_CODES, type Meta } from './data-folder.js';
import { drain } from './drain.js';
import { formedConfiguration, tellIfFoundersDiffer } from './formation.js';
import { ownFormats } from './formats.js';
import { LeaseRecord, leaseMsOf } from './lease-record.js';
import { Listener } from './listener.js';
import type { Logger } from './log.js';
import { memberId, nameOf } from './member-id.js';
import { MetricsEndpoint } from './metrics-endpoint.js';
import { newReplica } from './new-replica.js';
import { Peers } from './peers.js';
import { ProcessWatch } from './process-facts.js';
import { Readiness } from './readiness.js';
import { RefusalWatch } from './refusal-watch.js';
import type { Replica } from './replica.js';
import { replicaHello } from './replica-hello.js';
import type { ChannelReceiver } from './replica-options.js';
import { Roster } from './roster.js';
import type { Server } from './server.js';
import { Standing } from './standing.js';
import { NO_MEMBERS, replicaStatus } from './status.js';
import type { Stores } from './stores.js';

/** How long streams may take to end by themselves. */
const CLOSE_GRACE_MS = 500;

interface Parts {
  readonly config: ServerConfig;
  readonly folder: DataFolder;
  readonly meta: Meta;
  readonly stores: Stores;
  readonly log: Logger;
}

/** What there is as soon as this replica belongs to a cluster. */
interface Serving {
  readonly replica: Replica;
  readonly roster: Roster;
  readonly admin: Admin;
}

/**
 * One member of a cluster: forms it, is let into it, or finds it again; then runs a {@link Replica} behind a
 * listener.
 */
export class Member implements Server {
  readonly stopped: Promise<BalsaError | null>;
  readonly #parts: Parts;
  readonly #self: { readonly name: string; readonly incarnation: string };
  readonly #clock: Clock = systemClock;
  readonly #random = seededRandom(Math.floor(Math.random() * Number.MAX_SAFE_INTEGER));
  readonly #formats: FormatVersions;
  readonly #standing: Standing;
  readonly #clients: ClientService;
  readonly #peers: Peers;
  readonly #startedMs: number;
  readonly #process = new ProcessWatch();
  readonly #refusals: RefusalWatch;
  readonly #readiness = new Readiness(() => this.#isReady());
  readonly #metrics: MetricsEndpoint;
  #meta: Meta;
  #lease: LeaseRecord | null = null;
  #roster: Roster | null = null;
  #serving: Serving | null = null;
  #listener: Listener | null = null;
  #address = '';
  /** The members as clients were told last. */
  #toldMembers = '';
  #closing: Promise<void> | null = null;
  #stopping = false;
  #failure: BalsaError | null = null;
  #resolveStopped: (error: BalsaError | null) => void = () => {};

  static async start(parts: Parts): Promise<Member> {
    const member = new Member(parts);
    await member.#open();
    return member;
  }

  private constructor(parts: Parts) {
    const { config, meta, log } = parts;
    this.#parts = parts;
    this.#meta = meta;
    this.#startedMs = this.#clock.monotonicMs();
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve;
    });
    this.#self = { name: config.name, incarnation: meta.incarnation };
    this.#formats = ownFormats(config.unsafeFormats);
    const names = Object.keys(config.members);
    this.#standing = new Standing({
      clusterName: config.cluster,
      self: this.#self,
      names,
      restored: meta,
    });
    this.#refusals = new RefusalWatch({
      majority: () =>
        Math.floor((this.#roster?.configuration.voters.length ?? names.length) / 2) + 1,
      counts: (peer, code) => this.#isHopeless(peer, code),
      log,
      onFatal: (error) => this.#failed(error),
    });
    this.#metrics = new MetricsEndpoint({
      ...{ listen: config.metricsListen, log, status: () => this.status() },
      isReady: () => this.#isReady(),
      jobs: () => this.#serving?.replica.calls.jobs.stats ?? null,
    });
    this.#clients = this.#clientService();
    this.#peers = this.#peerTransport();
  }

  get name(): string {
    return this.#parts.config.name;
  }

  get address(): string {
    return this.#address;
  }

  status(): ReplicaStatus {
    const { config, stores } = this.#parts;
    return replicaStatus({
      config,
      incarnation: this.#self.incarnation,
      clusterId: this.#standing.cluster?.clusterId ?? '',
      members: this.#members(),
      membership: this.#roster?.status() ?? NO_MEMBERS,
      waits: this.#standing.waits,
      replica: this.#serving?.replica ?? null,
      stores,
      clientStreams: this.#clients.streams,
      uptimeMs: this.#clock.monotonicMs() - this.#startedMs,
      process: this.#process.facts(),
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutdown();
    return this.#closing;
  }

  // -------------------------------------------------------------------------------------------
  // Beginning

  async #open(): Promise<void> {
    const { config, log } = this.#parts;
    const opened = await Listener.open({
      listen: config.listen,
      limits: config.limits,
      health: this.#readiness,
      acceptPeer: (channel) => this.#peers.accept(channel),
      acceptPeerBulk: (channel) => this.#peers.acceptBulk(channel),
      acceptPeerSnapshot: (channel) => this.#accept(channel, (r) => r.acceptSnapshot(channel)),
      acceptClientSnapshot: (channel) => this.#accept(channel, (r) => r.acceptBackup(channel)),
      acceptClient: (channel) => {
        const connection = this.#clients.accept(channel);
        return {
          receive: (frame) => connection.receive(frame),
          refused: () => connection.refused(),
          closed: () => this.#clients.closed(connection),
        };
      },
    });
    this.#listener = opened.listener;
    this.#address = opened.address;
    log.info({ address: opened.address, dataFolder: config.dataFolder }, 'listening');
    try {
      await this.#metrics.open();
      this.#begin();
    } catch (error) {
      this.#metrics.close();
      await opened.listener.close(0);
      throw error;
    }
    this.#peers.start();
  }

  #begin(): void {
    const { config, log } = this.#parts;
    if (this.#standing.cluster !== null) {
      tellIfFoundersDiffer(this.#standing.bound ?? [], config, log);
      this.#startReplica();
    } else if (this.#standing.joining !== null) {
      const { incarnation } = this.#self;
      log.info({ incarnation, address: config.advertise }, this.#standing.waits);
    } else if (Object.keys(config.members).length === 1) {
      this.#standing.formAlone();
      this.#step();
    }
  }

  /** A step into a cluster: on disk before anybody hears of it, or votes. */
  #step(): void {
    const { log, config } = this.#parts;
    const { cluster, bound } = this.#standing;
    if (bound === null || this.#stopping) return;
    const clusterId = cluster?.clusterId ?? null;
    const addresses = { ...config.members };
    this.#writeMeta({ clusterId, formation: [...bound], addresses });
    if (cluster === null) return;
    log.info({ clusterId, founders: bound }, 'belongs to a cluster');
    this.#startReplica();
  }

  /** Durable when it returns. */
  #writeMeta(change: Partial<Meta>): void {
    this.#meta = { ...this.#meta, ...change };
    this.#parts.folder.writeMeta(this.#meta);
  }

  #startReplica(): void {
    const { config, stores, log } = this.#parts;
    const { cluster } = this.#standing;
    if (cluster === null || this.#serving !== null) return;
    this.#lease = new LeaseRecord({
      recordedMs: this.#meta.leaseMs,
      leaseMs: leaseMsOf(config),
      clock: this.#clock,
      write: (leaseMs) => this.#writeMeta({ leaseMs }),
      onFailure: (error) => this.#failed(error),
    });
    const base = formedConfiguration(cluster.members);
    const configured = new Map(Object.entries({ ...this.#meta.addresses, ...config.members }));
    const routes = new Map(Object.entries(config.routes));
    const options = { self: this.#self, address: config.advertise, configured, routes };
    const roster = new Roster(options, base);
    const replica = newReplica({
      config,
      stores,
      clock: this.#clock,
      random: this.#random,
      id: memberId(this.#self),
      clusterId: cluster.clusterId,
      base,
      formats: this.#formats,
      roster,
      leaseMsBefore: this.#lease.beforeMs,
      transport: this.#peers,
      onEvent: (event) => this.#onEvent(event),
      onNotice: ({ type, ...fields }) => log.info(fields, type),
      afterTurn: () => {
        this.#clients.flush();
        this.#readiness.look();
      },
      onFailure: (error) => this.#failed(error),
    });
    const { configuration, committedConfiguration } = replica.node;
    // Not the applied one: what the log says to be committed beyond that is told by no event any more.
    roster.update(configuration, committedConfiguration);
    const admin = new Admin({
      replica,
      roster,
      log: (level, fields, text) => log[level](fields, text),
    });
    this.#roster = roster;
    this.#serving = { replica, roster, admin };
    replica.start();
  }

  // -------------------------------------------------------------------------------------------
  // What happens

  #onEvent(event: CoreEvent): void {
    const { log } = this.#parts;
    this.#metrics.noted(event);
    if (event.type === 'role') {
      const leader = event.leader === null ? null : nameOf(event.leader);
      log.info({ role: event.role, term: event.term, leader, reason: event.reason }, 'role');
      this.#clients.leaderChanged(leader, event.term);
      return;
    }
    if (event.type === 'configuration') {
      this.#configurationChanged(event);
      return;
    }
    const { type, ...fields } = event;
    log.info(fields, type);
    if (type !== 'removed') return;
    const message = `${memberId(this.#self)} was removed from the cluster`;
    this.#failed(new BalsaError('MEMBER_REMOVED', message));
  }

  #configurationChanged(event: Extract<CoreEvent, { type: 'configuration' }>): void {
    const serving = this.#serving;
    const { index, voters, votersOutgoing, learners } = event.configuration;
    const { committed } = event;
    this.#parts.log.info({ index, committed, voters, votersOutgoing, learners }, 'members');
    if (serving === null) return;
    const { replica, roster } = serving;
    // What is in effect may be a later one already.
    const left = roster.update(replica.node.configuration, committed ? event.configuration : null);
    this.#peers.refresh();
    this.#peers.dismiss(left);
    this.#tellMembers();
  }

  #tellMembers(): void {
    const members = this.#members();
    const text = JSON.stringify(members);
    if (text === this.#toldMembers) return;
    this.#toldMembers = text;
    this.#clients.membersChanged(members);
  }

  #isReady(): boolean {
    const replica = this.#serving?.replica ?? null;
    if (replica === null || replica.leader === null || this.#stopping) return false;
    return replica.lag !== null && replica.lag <= this.#parts.config.limits.readyLagEntriesMax;
  }

  /** What a majority holds against this replica can be its own fault: another cluster, or a wiped disk. */
  #isHopeless(peer: string, code: ErrorCode): boolean {
    const voters = this.#roster?.configuration.voters;
    if (voters !== undefined) {
      return code === 'CLUSTER_MISMATCH' && voters.some((voter) => nameOf(voter) === peer);
    }
    const isWiped = code === 'MEMBER_MISMATCH' && this.#standing.joining === null;
    return code === 'CLUSTER_MISMATCH' || isWiped;
  }

  #refused(peer: string, error: BalsaError): void {
    const isRemoved = error.code === 'MEMBER_REMOVED';
    if (isRemoved && error.details.member === memberId(this.#self)) this.#failed(error);
    else this.#refusals.refused(peer, error);
  }

  #members(): readonly MemberAddress[] {
    const { config } = this.#parts;
    if (this.#roster !== null) return this.#roster.addresses();
    if (this.#standing.joining !== null) return [{ name: config.name, address: config.advertise }];
    return Object.entries(config.members).map(([name, address]) => ({ name, address }));
  }

  #whyNotServing(): string {
    const { joining, missing } = this.#standing;
    return joining === null
      ? `the cluster is being formed: ${this.name} waits for ${missing.join(', ')}`
      : `${this.name} is ${this.#standing.waits}`;
  }

  // -------------------------------------------------------------------------------------------
  // Parts

  #clientService(): ClientService {
    const { config, stores } = this.#parts;
    const member = this;
    return new ClientService(
      {
        limits: config.limits,
        failpoints: stores.failpoints,
        get replica() {
          return member.#serving?.replica ?? null;
        },
        get tellsStatus() {
          return member.#standing.joining !== null;
        },
        notServingReason: () =>
          new BalsaError('NO_QUORUM', this.#whyNotServing(), {
            details: { missing: this.#standing.missing },
          }),
        hello: () =>
          replicaHello({
            config,
            clusterId: this.#standing.cluster?.clusterId ?? '',
            members: this.#members(),
            replica: this.#serving?.replica ?? null,
          }),
        status: () => JSON.stringify(this.status()),
        admin: (command) => {
          if (this.#serving === null) throw new BalsaError('NO_QUORUM', this.#whyNotServing());
          return this.#serving.admin.run(command);
        },
      },
      this.#clock,
    );
  }

  #peerTransport(): Peers {
    const { config, log } = this.#parts;
    const seeds = Object.entries({ ...config.members, ...config.routes }).filter(
      ([name]) => name !== config.name && Object.hasOwn(config.members, name),
    );
    return new Peers({
      ...{ clock: this.#clock, random: this.#random, limits: config.limits },
      clusterName: config.cluster,
      self: this.#self,
      address: config.advertise,
      formats: this.#formats,
      seeds: new Map(seeds),
      standing: this.#standing,
      roster: () => this.#roster,
      onMessage: (message) => this.#serving?.replica.receive(message),
      onStateHash: (from, hash) => this.#serving?.replica.receiveStateHash(from, hash),
      onDeltas: (from, frame) => this.#serving?.replica.calls.receiveDeltas(from, frame),
      onJobs: (from, frame) => this.#serving?.replica.calls.jobs.receive(from, frame),
      onDisconnected: (member: MemberId) => this.#serving?.replica.lost('disconnected', member),
      onMessagesLost: (member) => this.#serving?.replica.lost('messages-lost', member),
      onStep: () => {
        try {
          this.#step();
        } catch (error) {
          this.#failed(asBalsaError(error));
          throw error;
        }
      },
      onJoining: (hello) => {
        const { joining, name, incarnation } = hello;
        if (joining !== null) void this.#serving?.admin.letIn({ name, incarnation }, joining);
      },
      onConnected: (peer) => this.#refusals.accepted(peer),
      onRefused: (peer, error) => this.#refused(peer, error),
      onFailure: (error) => this.#failed(error),
      log: (level, fields, text) => log[level](fields, text),
    });
  }

  #accept(channel: Channel, accept: (replica: Replica) => ChannelReceiver): ChannelReceiver {
    const replica = this.#serving?.replica;
    if (replica !== undefined && !this.#stopping) return accept(replica);
    channel.abort();
    return { receive: () => {}, closed: () => {} };
  }

  // -------------------------------------------------------------------------------------------
  // End

  #failed(error: BalsaError): void {
    const { code, details, message: reason } = error;
    this.#parts.log.fatal({ code, details, reason }, 'stopped');
    if (this.#failure === null) this.#giveUp(error);
    this.#failure ??= error;
    this.#closing ??= this.#shutdown();
  }

  /** After some failures this data must not be started on again as if nothing had been. */
  #giveUp(error: BalsaError): void {
    const code = GIVE_UP_CODES.find((known) => known === error.code);
    if (code === undefined) return;
    try {
      this.#writeMeta({ refuses: { code, reason: error.message } });
    } catch (cause) {
      this.#parts.log.error(
        { reason: asBalsaError(cause).message },
        'the failure could not be noted',
      );
    }
  }

  async #shutdown(): Promise<void> {
    const { log, stores } = this.#parts;
    const replica = this.#serving?.replica ?? null;
    this.#stopping = true;
    this.#lease?.stop();
    this.#readiness.look();
    if (this.#failure === null && replica !== null) {
      await drain(replica, {
        clock: this.#clock,
        hasFailed: () => this.#failure !== null,
        isReached: () => this.#peers.isReached,
      });
    }
    replica?.stop();
    this.#clients.endAll(new BalsaError('SHUTTING_DOWN', `${this.name} is stopping`));
    this.#peers.stop();
    this.#process.stop();
    this.#metrics.close();
    await this.#listener?.close(CLOSE_GRACE_MS);
    try {
      await replica?.whenIdle();
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
}
