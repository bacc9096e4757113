import { describe, expect, test } from 'vitest';
import { noFailpoints } from '../../src/base/failpoints.js';
import {
  checkEnd,
  countChunk,
  NO_CHUNKS,
  type SnapshotEnd,
} from '../../src/base/snapshot-codec.js';
import {
  packSnapshotFrame,
  type SnapshotFrame,
  unpackSnapshotFrame,
} from '../../src/rpc/snapshot-frames.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';
import { ByteRate } from '../../src/server/byte-rate.js';
import { Backups } from '../../src/server/snapshot-backup.js';
import { dialOver } from './channel-pair.js';
import { SnapshotWorld } from './snapshot-world.js';

/** A client that asks for a backup and checks what it gets. */
class BackupClient {
  readonly frames: string[] = [];
  sums: SnapshotEnd = NO_CHUNKS;
  isWhole = false;
  readonly hangUp: () => void;

  constructor(world: SnapshotWorld, backups: Backups, clusterId: string | null) {
    const channel = dialOver(
      { scheduler: world.scheduler, accept: (accepted) => backups.accept(accepted) },
      {
        onFrame: (bytes) => {
          const frame = unpackSnapshotFrame(bytes);
          const code = frame.type === 'refusal' ? ` ${frame.error.code}` : '';
          this.frames.push(`${frame.type}${code}`);
          const answer = this.#answer(frame);
          if (answer !== null) channel.send(packSnapshotFrame(answer));
        },
        onClose: (reason) => this.frames.push(reason.message),
      },
    );
    this.hangUp = () => channel.abort();
    const request = { ...OWN_VERSIONS, clientName: 'test', clusterId };
    channel.send(packSnapshotFrame({ type: 'request', request }));
  }

  #answer(frame: SnapshotFrame): SnapshotFrame | null {
    if (frame.type === 'header') return { type: 'answer', afterChunk: 0 };
    if (frame.type === 'chunk') {
      this.sums = countChunk(this.sums, frame.chunk).sums;
      return { type: 'ack', chunk: frame.chunk.number };
    }
    if (frame.type !== 'end') return null;
    checkEnd(this.sums, frame.end);
    this.isWhole = true;
    return { type: 'done' };
  }
}

async function given(appliedIndex = 10) {
  const world = new SnapshotWorld({ snapshotsAtOnceMax: 2 });
  await world.fill(60);
  const clock = world.scheduler.clock(() => true);
  const backups = new Backups({
    ...{ id: 'n1', cluster: { name: 'test', id: 'c1' }, clock, limits: world.limits },
    ...{ failpoints: noFailpoints, source: world.source, rate: new ByteRate(clock, 1e9) },
    term: () => 3,
    appliedIndex: () => appliedIndex,
    onNotice: (notice) => world.notices.push(notice),
  });
  return { world, backups };
}

describe('a backup', () => {
  test('waits for what was applied when it was asked for, and is not on disk yet', async () => {
    const { world, backups } = await given(20);
    const client = new BackupClient(world, backups, 'c1');
    await world.run(1000);
    expect(client.frames).toEqual([]);
    // Nothing of the state is looked at before.
    expect(world.store.views).toBe(0);
    await world.fill(90, 20);
    await world.run(1000);
    expect(client.isWhole).toBe(true);
    expect([world.store.views, [...backups.tasks]]).toEqual([1, []]);
  });

  test('that waits ends with its client, and when the replica installs a snapshot', async () => {
    const { world, backups } = await given(20);
    const [gone, refused] = [0, 1].map(() => new BackupClient(world, backups, 'c1'));
    await world.run(100);
    expect([...backups.tasks]).toHaveLength(2);
    gone?.hangUp();
    world.source.pause();
    await world.run(100);
    expect(refused?.frames[0]).toBe('refusal OVERLOADED');
    expect([world.store.views, [...backups.tasks]]).toEqual([0, []]);
  });

  test('is the whole state, with its sums', async () => {
    const { world, backups } = await given();
    const client = new BackupClient(world, backups, 'c1');
    await world.run(1000);
    expect(client.isWhole).toBe(true);
    expect(client.sums.keys).toBe(62);
    expect(world.notices).toContainEqual(
      expect.objectContaining({ type: 'snapshot-sending', phase: 'sent', member: null, index: 10 }),
    );
    expect([world.store.openViews, [...backups.tasks]]).toEqual([0, []]);
  });

  test('of another cluster is refused', async () => {
    const { world, backups } = await given();
    const client = new BackupClient(world, backups, 'c2');
    await world.run(1000);
    expect(client.frames[0]).toBe('refusal CLUSTER_MISMATCH');
    expect([world.store.openViews, [...backups.tasks]]).toEqual([0, []]);
  });

  test('is refused when there are too many', async () => {
    const { world, backups } = await given();
    const clients = [1, 2, 3].map(() => new BackupClient(world, backups, null));
    await world.run(1000);
    expect(clients.map(({ isWhole }) => isWhole)).toEqual([true, true, false]);
    expect(clients[2]?.frames[0]).toBe('refusal OVERLOADED');
  });

  test('whose client hangs up lets go of the state', async () => {
    const { world, backups } = await given();
    const client = new BackupClient(world, backups, null);
    await world.run(6);
    expect(world.store.openViews).toBe(1);
    client.hangUp();
    await world.run(100);
    expect([world.store.openViews, [...backups.tasks]]).toEqual([0, []]);
  });

  test('whose client says nothing is ended', async () => {
    const { world, backups } = await given();
    const frames: string[] = [];
    dialOver(
      { scheduler: world.scheduler, accept: (channel) => backups.accept(channel) },
      { onFrame: (frame) => frames.push(unpackSnapshotFrame(frame).type), onClose: () => {} },
    );
    await world.run(2000);
    expect(frames).toEqual(['refusal']);
    expect([...backups.tasks]).toEqual([]);
  });

  test('is not begun while a snapshot is being installed', async () => {
    const { world, backups } = await given();
    world.source.pause();
    const client = new BackupClient(world, backups, null);
    await world.run(100);
    expect(client.frames[0]).toBe('refusal OVERLOADED');
  });
});
