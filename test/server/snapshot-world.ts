import type { BalsaError } from '../../src/base/errors.js';
import { noFailpoints } from '../../src/base/failpoints.js';
import { LIMITS, type Limits } from '../../src/base/limits.js';
import { seededRandom } from '../../src/base/random.js';
import { formedWith } from '../../src/raft/configuration.js';
import { packConfiguration } from '../../src/raft/configuration-codec.js';
import type { Configuration, MemberId, SnapshotOffer } from '../../src/raft/types.js';
import type { Channel } from '../../src/rpc/channel.js';
import { ByteRate } from '../../src/server/byte-rate.js';
import type { ChannelReceiver, ReplicaNotice } from '../../src/server/replica-options.js';
import { SnapshotReceiver } from '../../src/server/snapshot-receiver.js';
import { SnapshotSenders } from '../../src/server/snapshot-sender.js';
import { SnapshotSource } from '../../src/server/snapshot-source.js';
import { encodeConfigurationRecord } from '../../src/statemachine/configuration-record.js';
import { CONFIGURATION_KEY } from '../../src/statemachine/layout.js';
import { EMPTY_MACHINE, sealWrites } from '../../src/statemachine/machine-record.js';
import type { StateWrite } from '../../src/statemachine/state-store.js';
import { MemoryStateStore } from '../../src/storage/memory-state-store.js';
import { MemoryStateVault } from '../../src/storage/memory-state-vault.js';
import type { StateView } from '../../src/storage/snapshot.js';
import { dialOver, type Fate, frameName, type Side } from './channel-pair.js';
import { Scheduler } from './test-scheduler.js';

export const SMALL: Limits = {
  ...LIMITS,
  snapshotChunkBytes: 1024,
  snapshotWindowBytes: 4096,
  snapshotBytesPerSecondMax: 100 * 1024 * 1024,
  snapshotIdleMsMax: 1000,
  snapshotRetryMsMax: 5000,
};

const CLUSTER = { name: 'test', id: 'c1' };
const CONFIGURATION = formedWith(['leader', 'n2', 'n3']);

/** A sender with a state of some kilobytes, receivers, and the wire between them. */
export class SnapshotWorld {
  readonly scheduler: Scheduler;
  readonly limits: Limits;
  readonly store: WatchedStore;
  readonly source: SnapshotSource;
  readonly senders: SnapshotSenders;
  readonly receivers = new Map<MemberId, TestReceiver>();
  /** Others than the receivers. */
  readonly acceptors = new Map<MemberId, (channel: Channel) => ChannelReceiver>();
  readonly sent: { readonly member: MemberId; readonly index: number | null }[] = [];
  readonly notices: ReplicaNotice[] = [];
  /** All that went over the wire, in order, as `>chunk 1` (from the sender) and `<ack 1`. */
  readonly frames: string[] = [];
  /** What becomes of the n-th frame, from 1. */
  fate: (number: number, from: Side, frame: Buffer) => Fate = () => 'pass';
  dials = 0;
  /** Does the core of the sender still wait for its snapshots to arrive? */
  isNeeded = true;

  constructor(
    limits: Partial<Limits> = {},
    formed: Configuration = CONFIGURATION,
    { id = 'leader', scheduler = new Scheduler(7) } = {},
  ) {
    this.scheduler = scheduler;
    this.limits = { ...SMALL, ...limits };
    this.store = new WatchedStore({ schedule: (run) => void this.scheduler.plan(0.1, run) });
    const clock = scheduler.clock(() => true);
    const random = seededRandom(1);
    this.source = new SnapshotSource({
      ...{ cluster: CLUSTER, formed, clock, random, limits: this.limits },
      store: () => this.store,
      termAt: () => 3,
      safeIndex: () => 1000,
    });
    this.senders = new SnapshotSenders({
      ...{ clock, random, limits: this.limits, failpoints: noFailpoints, source: this.source },
      id,
      rate: new ByteRate(clock, this.limits.snapshotBytesPerSecondMax),
      formatOf: () => 1,
      isNeeded: () => this.isNeeded,
      onNotice: (notice) => this.notices.push(notice),
      onSent: (member, index) => this.sent.push({ member, index }),
      dial: (member, handlers) => {
        this.dials += 1;
        return dialOver(
          {
            scheduler,
            accept: (channel) =>
              this.acceptors.get(member)?.(channel) ??
              this.receivers.get(member)?.receiver.accept(channel) ??
              null,
            fate: (from, frame) => {
              const number = this.frames.push(
                `${from === 'dialler' ? '>' : '<'}${frameName(frame)}`,
              );
              return this.fate(number, from, frame);
            },
          },
          handlers,
        );
      },
    });
  }

  /** Applies one entry with no more than its index. */
  async fillWithoutMembers(index: number): Promise<void> {
    const writes: StateWrite[] = [];
    sealWrites({ ...EMPTY_MACHINE, appliedIndex: index }, writes);
    this.store.apply(index, writes);
    this.store.allowDisk(index);
    await this.run(10);
  }

  /** Applies one entry with `keys` values of 200 bytes, and lets it reach the disk. */
  async fill(keys: number, index = 10): Promise<void> {
    const writes: StateWrite[] = Array.from({ length: keys }, (_, i) => ({
      key: Buffer.from(`k${String(i).padStart(6, '0')}`),
      value: Buffer.alloc(200, i),
    }));
    const machine = { ...EMPTY_MACHINE, appliedIndex: index, revision: keys };
    const configuration = { index: 4, payload: packConfiguration(CONFIGURATION) };
    writes.push({ key: CONFIGURATION_KEY, value: encodeConfigurationRecord(configuration) });
    sealWrites(machine, writes);
    this.store.apply(index, writes);
    this.store.allowDisk(index);
    await this.run(10);
  }

  receiver(id: MemberId): TestReceiver {
    const known = this.receivers.get(id);
    if (known !== undefined) return known;
    const made = new TestReceiver(this, id);
    this.receivers.set(id, made);
    return made;
  }

  /** All pairs on the disk of a store, in key order. */
  async pairsOf(store: MemoryStateStore): Promise<string[]> {
    const reading = readAll(store);
    await this.run(10);
    const pairs = await reading;
    return pairs.map(([key, value]) => `${Buffer.from(key)}=${Buffer.from(value).toString('hex')}`);
  }

  run(ms: number): Promise<void> {
    return this.scheduler.run(this.scheduler.nowMs + ms);
  }
}

export class TestReceiver {
  readonly vault: MemoryStateVault;
  readonly receiver: SnapshotReceiver;
  readonly told: SnapshotOffer[] = [];
  readonly notices: ReplicaNotice[] = [];
  readonly failures: unknown[] = [];
  commitIndex = 0;
  readonly #world: SnapshotWorld;

  constructor(world: SnapshotWorld, id: MemberId) {
    this.#world = world;
    const { scheduler, limits } = world;
    this.vault = new MemoryStateVault({ schedule: (run) => void scheduler.plan(0.1, run) });
    this.receiver = new SnapshotReceiver({
      ...{ id, limits, cluster: CLUSTER, clock: scheduler.clock(() => true), vault: this.vault },
      commitIndex: () => this.commitIndex,
      onReceived: (offer) => this.told.push(offer),
      onFailure: (error) => this.failures.push(error as BalsaError),
      onNotice: (notice) => this.notices.push(notice),
    });
  }

  /** Makes what was received the state. */
  async installed(): Promise<MemoryStateStore> {
    const offer = this.told.at(-1);
    const finished = offer === undefined ? null : this.receiver.finishedImport(offer);
    if (finished === null) throw new Error('nothing was received in whole');
    const switched = this.vault.switchTo(finished);
    await this.#world.run(10);
    return switched;
  }
}

async function readAll(store: MemoryStateStore) {
  const view = await store.view();
  const pairs = await view.next(null, Number.MAX_SAFE_INTEGER);
  await view.close();
  return pairs;
}

/** Counts the views that are open. */
class WatchedStore extends MemoryStateStore {
  openViews = 0;
  /** That were opened ever. */
  views = 0;

  override async view(): Promise<StateView> {
    const view = await super.view();
    this.openViews += 1;
    this.views += 1;
    return {
      index: view.index,
      get: (key) => view.get(key),
      next: (after, bytesMax) => view.next(after, bytesMax),
      close: async () => {
        this.openViews -= 1;
        await view.close();
      },
    };
  }
}
