import { assert } from '../base/assert.js';
import { BalsaError } from '../base/errors.js';
import type { RaftNode } from '../raft/raft-node.js';
import type { LogIndex, MemberId, RaftEvent, SnapshotOffer } from '../raft/types.js';
import type { Channel } from '../rpc/channel.js';
import type { DurableStateStore } from '../storage/snapshot.js';
import { ByteRate } from './byte-rate.js';
import type { ChannelReceiver, ReplicaOptions, SnapshotStatus } from './replica-options.js';
import { Backups } from './snapshot-backup.js';
import { type InstalledState, installSnapshot } from './snapshot-installer.js';
import { SnapshotReceiver } from './snapshot-receiver.js';
import { SnapshotSenders } from './snapshot-sender.js';
import { SnapshotSource } from './snapshot-source.js';

export interface SnapshotTrafficHost {
  readonly options: ReplicaOptions;
  readonly node: RaftNode;
  readonly store: () => DurableStateStore;
  readonly enqueue: (event: RaftEvent) => void;
  readonly appliedIndex: () => LogIndex;
  /** Calls back when nothing but reads touches state and log any more. */
  readonly quiet: (callback: () => void) => void;
  /** The old state is about to go: no other read begins, and those that have begun may have to be asked again. */
  readonly onSwitching: () => void;
  /** The new state can be read. */
  readonly onSwitched: (state: InstalledState) => void;
  readonly onFailure: (error: unknown) => void;
}

/** All snapshots that come and go at one replica. */
export class SnapshotTraffic {
  readonly #host: SnapshotTrafficHost;
  readonly #source: SnapshotSource;
  readonly #senders: SnapshotSenders;
  readonly #backups: Backups;
  readonly #receiver: SnapshotReceiver;
  /** Told to the core, which has not said yet what becomes of them. */
  #offers: SnapshotOffer[] = [];
  #installing: SnapshotOffer | null = null;
  /** The switch of the state that is under way. */
  #switch: Promise<void> = Promise.resolve();
  #installed = 0;
  #stopped = false;

  constructor(host: SnapshotTrafficHost) {
    this.#host = host;
    const { options, node } = host;
    const { id, cluster, clock, random, limits, failpoints, formats, vault } = options;
    const term = (): number => node.term;
    const onNotice: NonNullable<ReplicaOptions['onNotice']> = (notice) =>
      options.onNotice?.(notice);
    const rate = new ByteRate(clock, limits.snapshotBytesPerSecondMax);
    this.#source = new SnapshotSource({
      ...{ cluster, clock, random, limits },
      formed: options.configuration,
      store: host.store,
      termAt: (index) => node.termAt(index),
      safeIndex: () => Math.min(node.flushedIndex, node.commitIndex),
    });
    const source = this.#source;
    this.#senders = new SnapshotSenders({
      ...{ id, clock, random, limits, failpoints, source, rate, onNotice },
      dial: options.dialSnapshot,
      formatOf: (member) => Math.min(formats.snapshot, options.formatsOf(member)?.snapshot ?? 1),
      isNeeded: (member) =>
        node.progress.some((p) => p.member === member && p.state === 'snapshot'),
      onSent: (member, index) => host.enqueue({ type: 'snapshot-sent', member, index }),
    });
    this.#backups = new Backups({
      ...{ id, cluster, clock, limits, failpoints, source, rate, term, onNotice },
      appliedIndex: host.appliedIndex,
    });
    this.#receiver = new SnapshotReceiver({
      ...{ id, cluster, clock, limits, vault, onNotice },
      commitIndex: () => node.commitIndex,
      onReceived: (offer) => this.#received(offer),
      onFailure: host.onFailure,
    });
  }

  get status(): SnapshotStatus {
    const toMembers = Array.from(this.#senders.tasks, ({ member, index, bytes }) => ({
      ...{ member, index, bytes },
    }));
    const toClients = Array.from(this.#backups.tasks, ({ index, bytes }) => ({
      ...{ member: null, index, bytes },
    }));
    return {
      sending: [...toMembers, ...toClients],
      receiving: this.#receiver.status,
      installing: this.#installing !== null,
      sent: this.#senders.sent,
      installed: this.#installed,
    };
  }

  get installing(): boolean {
    return this.#installing !== null;
  }

  /** Members that will need the log behind these places when they have the snapshot sent to them. */
  get pins(): readonly { readonly member: MemberId; readonly index: LogIndex }[] {
    return this.#senders.pins(this.#host.options.clock.monotonicMs());
  }

  /** The log must not be cut beyond this. */
  get hardPin(): LogIndex {
    return this.#source.pin;
  }

  acceptSnapshot(channel: Channel): ChannelReceiver {
    return this.#receiver.accept(channel);
  }

  acceptBackup(channel: Channel): ChannelReceiver {
    return this.#backups.accept(channel);
  }

  send(member: MemberId): void {
    if (!this.#stopped) this.#senders.request(member, this.#host.node.term);
  }

  leadershipLost(): void {
    this.#senders.leadershipLost();
  }

  membersChanged(isMember: (member: MemberId) => boolean): void {
    this.#senders.retain(isMember);
  }

  /** What the core says to the snapshots that it was told of in this step. */
  decided(install: SnapshotOffer | null): void {
    if (this.#offers.length === 0 && install === null) return;
    for (const offer of this.#offers.splice(0)) {
      if (offer !== install) this.#receiver.settled(offer, false);
    }
    if (install !== null) this.#install(install);
  }

  /** The core knows that the snapshot is in place. */
  installed(): void {
    const offer = this.#installing;
    if (offer === null) return;
    this.#installing = null;
    this.#installed += 1;
    this.#receiver.settled(offer, true);
    this.#source.resume();
  }

  stop(reason: BalsaError): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#source.pause();
    this.#senders.cancelAll(reason);
    this.#backups.stop(reason);
    this.#receiver.stop();
  }

  /** After {@link stop}: nothing touches the stores any more. */
  async whenIdle(): Promise<void> {
    await this.#receiver.whenIdle();
    await this.#switch;
    await this.#viewsClosed();
  }

  #received(offer: SnapshotOffer): void {
    this.#offers.push(offer);
    this.#host.enqueue({ type: 'snapshot-received', snapshot: offer });
  }

  #install(offer: SnapshotOffer): void {
    const finished = this.#receiver.finishedImport(offer);
    assert(finished !== null, 'a snapshot to install is here, whole');
    assert(this.#installing === null, 'one snapshot is installed at a time');
    this.#installing = offer;
    const reason = new BalsaError('OVERLOADED', 'a snapshot is being installed here', {
      details: { retryAfterMs: 1000 },
    });
    this.#source.pause();
    this.#senders.cancelAll(reason);
    this.#backups.cancelAll(reason);
    const { options, enqueue, onSwitching, onSwitched, onFailure, quiet } = this.#host;
    const { vault, logStore, failpoints, openMachine } = options;
    const { position } = offer;
    const run = async (): Promise<void> => {
      await this.#viewsClosed();
      if (this.#stopped) return;
      onSwitching();
      await installSnapshot({
        ...{ position, finished, vault, logStore, failpoints, openMachine, onSwitched },
      });
      enqueue({ type: 'snapshot-installed', position });
    };
    quiet(() => {
      if (!this.#stopped) this.#switch = run().catch(onFailure);
    });
  }

  #viewsClosed(): Promise<void> {
    return new Promise((resolve) => this.#source.whenClosed(resolve));
  }
}
