import { afterEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { TcpProxy } from '../../src/cluster/tcp-proxy.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { formedWith } from '../../src/raft/configuration.js';
import type { Message } from '../../src/raft/types.js';
import { type Channel, dial } from '../../src/rpc/channel.js';
import {
  packMessages,
  packPeerHello,
  packProbeAnswer,
  unpackPeerFrame,
} from '../../src/rpc/peer-frames.js';
import { PEER_BULK_PATH, type PeerHello } from '../../src/rpc/peer-protocol.js';
import { PEER_STREAM_PATH } from '../../src/rpc/protocol.js';
import { clusterIdOf } from '../../src/server/formation.js';
import { Listener } from '../../src/server/listener.js';
import { memberId } from '../../src/server/member-id.js';
import {
  closeNodes,
  disk,
  heartbeat,
  helloOf,
  NAMES,
  type Node,
  nobody,
  node,
  talk,
  until,
} from './peer-nodes.js';
import { Scheduler } from './test-scheduler.js';

afterEach(closeNodes);

describe('peers over loopback', () => {
  test('messages reach the member they are for, in order, under the name of the stream', async () => {
    const n2 = await node({ name: 'n2' });
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', n2.address]]) });
    await until('the connection', () => n1.connected.length > 0);
    n1.peers.send(memberId(disk('n2')), [heartbeat(1), heartbeat(2)]);
    n1.peers.send('stranger.x', [heartbeat(9)]);
    n1.peers.send(memberId(disk('n2')), [heartbeat(3)]);
    await until('the messages', () => n2.received.length >= 3);
    expect(n2.received).toEqual([1, 2, 3].map(heartbeat));
  });

  test('a peer that goes is told of on both sides, and dialled until it is back', async () => {
    const n2 = await node({ name: 'n2' });
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', n2.address]]) });
    await until('the connection', () => n1.connected.length > 0);
    await n2.close();
    await until('the loss', () => n1.lost.length > 0);
    expect(new Set(n1.lost)).toEqual(new Set([memberId(disk('n2'))]));
    const back = await node({ name: 'n2', listen: n2.address });
    await until('the next connection', () => n1.connected.length > 1);
    n1.peers.send(memberId(disk('n2')), [heartbeat(1)]);
    await until('the message', () => back.received.length > 0);
    await n1.close();
    await until('the loss', () => back.lost.length > 0);
    expect(new Set(back.lost)).toEqual(new Set([memberId(disk('n1'))]));
  });

  test('a wiped member is refused by its peer, is told why, and gets nothing through', async () => {
    const n2 = await node({ name: 'n2' });
    const addresses = new Map([['n2', n2.address]]);
    const wiped = await node({ name: 'n1', addresses, formed: false, incarnation: 'new' });
    await until('the refusal', () => wiped.refused.length > 0);
    expect(wiped.refused[0]?.code).toBe('MEMBER_MISMATCH');
    expect(wiped.refused[0]?.message).toMatch(/must not vote again/);
    expect([wiped.standing.bound, wiped.connected, n2.received]).toEqual([null, [], []]);
  });

  test('two fresh members form, each step durable before the other hears of it', async () => {
    const steps: string[] = [];
    const n2: Node = await node({
      name: 'n2',
      formed: false,
      onStep: () => void steps.push(n2.standing.cluster === null ? 'bound' : 'formed'),
    });
    const n1 = await node({
      name: 'n1',
      addresses: new Map([['n2', n2.address]]),
      formed: false,
    });
    await until('a cluster', () => n1.standing.cluster !== null && n2.standing.cluster !== null);
    expect(n1.standing.cluster).toEqual(n2.standing.cluster);
    expect(steps).toEqual(['bound', 'formed']);
  });

  test('a step that cannot be made durable is not said to anybody', async () => {
    const n2 = await node({
      name: 'n2',
      formed: false,
      onStep: () => {
        throw new Error('the disk is gone');
      },
    });
    const said: PeerHello[] = [];
    const channel = dial({
      address: n2.address,
      path: PEER_STREAM_PATH,
      onFrame: (bytes) => {
        const frame = unpackPeerFrame(bytes, { from: '', to: '' });
        if (frame.type === 'hello') said.push(frame.hello);
      },
      onClose: () => {},
    });
    channel.send(packPeerHello(helloOf()));
    await until('the failure', () => n2.failures.length > 0);
    channel.abort();
    expect(said).toEqual([]);
  });

  test.each([
    ['messages before the hello', [packMessages([heartbeat(1)])], 'FRAME_INVALID'],
    [
      'another protocol',
      [packPeerHello(helloOf({ protocolVersion: 9, protocolVersionMin: 9 }))],
      'PROTOCOL_VERSION',
    ],
    ['another cluster', [packPeerHello(helloOf({ clusterName: 'd' }))], 'CLUSTER_MISMATCH'],
    ['its own name', [packPeerHello(helloOf({ name: 'n2' }))], 'MEMBER_MISMATCH'],
    [
      'a second hello',
      [packPeerHello(helloOf()), packPeerHello(helloOf()), packMessages([heartbeat(1)])],
      'FRAME_INVALID',
    ],
  ])('%s is refused by code, and nothing of it is taken', async (_what, frames, code) => {
    const n2 = await node({ name: 'n2' });
    expect(await talk(n2.address, frames)).toEqual([code]);
    expect(n2.received).toEqual([]);
    expect(n2.failures).toEqual([]);
  });

  test('a peer where nothing arrives any more, though its connection answers, is dialled again', async () => {
    let isDeaf = false;
    const n2 = await node({ name: 'n2', isDeaf: () => isDeaf });
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', n2.address]]), speed: 20 });
    await until('the connection', () => n1.connected.length > 0);
    isDeaf = true;
    await until('the loss', () => n1.lost.length > 0);
    isDeaf = false;
    await until('the next connection', () => n1.connected.length > 1);
    n1.peers.send(memberId(disk('n2')), [heartbeat(1)]);
    await until('the message', () => n2.received.length > 0);
  });

  test('a peer that answers its probes is kept, and so is one that knows none', async () => {
    for (const protocolVersion of [2, 1]) {
      const frames: string[] = [];
      let opened = 0;
      const { listener, address } = await Listener.open({
        ...{ listen: '127.0.0.1:0', limits: LIMITS },
        ...{ acceptClient: nobody, acceptPeerBulk: nobody, acceptPeerSnapshot: nobody },
        ...{
          acceptClientSnapshot: nobody,
          health: { ready: () => true, onChange: () => () => {} },
        },
        acceptPeer: (channel) => {
          opened += 1;
          return {
            closed: () => {},
            receive: (bytes) => {
              const { type } = unpackPeerFrame(bytes, { from: '', to: '' });
              frames.push(type);
              if (type === 'probe') channel.send(packProbeAnswer());
              if (type !== 'hello') return;
              const { clusterId, formation } = {
                clusterId: clusterIdOf('c', NAMES.map(disk)),
                formation: NAMES.map(disk),
              };
              channel.send(
                packPeerHello(
                  helloOf({
                    ...disk('n2'),
                    to: 'n1',
                    clusterId,
                    formation,
                    protocolVersion,
                    protocolVersionMin: 1,
                  }),
                ),
              );
            },
          };
        },
      });
      const timers: number[] = [];
      const addresses = new Map([['n2', address]]);
      const n1 = await node({ name: 'n1', addresses, speed: 50, timers });
      await until('the connection', () => n1.connected.length > 0);
      // On a slow machine the time for the hello was too short at first: its clock goes fast.
      const attempts = opened;
      n1.peers.send(memberId(disk('n2')), [heartbeat(1)]);
      const isProbed = protocolVersion === 2;
      const isEnough = (): boolean => (isProbed ? frames.length > 8 : frames.includes('messages'));
      await until('frames', isEnough);
      expect([opened, n1.lost]).toEqual([attempts, []]);
      expect(frames.includes('probe')).toBe(isProbed);
      // That of the hello, and those of probes.
      expect(timers.filter((ms) => ms === 3000).length > 1).toBe(isProbed);
      await n1.close();
      await listener.close(100);
    }
  });

  test('the end of a stream for large frames is the loss of a member that has no other one', async () => {
    const n2 = await node({ name: 'n2' });
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', n2.address]]) });
    await until('the connection', () => n1.connected.length > 0);
    const formation = NAMES.map(disk);
    const open = async (): Promise<Channel> => {
      let isGreeted = false;
      const channel = dial({
        ...{ address: n2.address, path: PEER_BULK_PATH },
        onFrame: () => (isGreeted = true),
        onClose: () => {},
      });
      const { cluster } = n2.standing;
      channel.send(packPeerHello(helloOf({ clusterId: cluster?.clusterId ?? null, formation })));
      await until('the hello', () => isGreeted);
      return channel;
    };
    const [first, second] = [await open(), await open()];
    first.send(packMessages([heartbeat(1)]));
    first.end();
    await until('the message', () => n2.received.length === 1);
    // That it has ended is heard behind that; nothing is lost, as the other one is there.
    await open();
    expect(n2.lost).toEqual([]);
    await n1.close();
    await until('the loss', () => n2.lost.length > 0);
    const losses = n2.lost.length;
    second.send(packMessages([heartbeat(2)]));
    second.end();
    await until('the next loss', () => n2.lost.length > losses);
    expect(n2.received).toHaveLength(2);
    expect(new Set(n2.lost)).toEqual(new Set([memberId(disk('n1'))]));
  });

  test('a peer that has dialled in is dialled at once where an attempt hangs, and each time once', async () => {
    const scheduler = new Scheduler(1);
    const aborted: boolean[] = [];
    const silent = { pendingBytes: 0, send: () => {}, end: () => {}, abort: () => {} };
    const dialSilence = (): Channel => {
      const number = aborted.push(false) - 1;
      return { ...silent, abort: () => (aborted[number] = true) };
    };
    const n1 = await node({
      name: 'n1',
      addresses: new Map([['n2', 'nowhere:1']]),
      simulated: { clock: scheduler.clock(() => true), dial: dialSilence },
    });
    const clusterId = n1.standing.cluster?.clusterId ?? null;
    const hello = helloOf({ ...disk('n2'), to: 'n1', clusterId, formation: NAMES.map(disk) });
    const comeIn = (): void => n1.peers.accept(silent).receive(packPeerHello(hello));
    await scheduler.run(100);
    comeIn();
    expect(aborted).toEqual([false]);
    await scheduler.run(1000);
    comeIn();
    expect(aborted).toEqual([true, false]);
    await scheduler.run(2500);
    comeIn();
    expect(aborted).toEqual([true, false]);
    await n1.close();
  });

  test('a stream that says nothing is ended', async () => {
    const n2 = await node({ name: 'n2' });
    const startMs = performance.now();
    expect(await talk(n2.address, [])).toEqual([]);
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });
});

describe('a replica that waits to be let in', () => {
  const waiting = { replaces: null };

  test('is bound by a member that calls it by name and data folder, and both talk', async () => {
    const n4 = await node({ name: 'n4', formed: false, joining: waiting });
    const n1 = await node({ name: 'n1' });
    expect(n4.standing.cluster).toBeNull();
    const added = formedWith(
      NAMES.map((name) => memberId(disk(name))),
      {
        index: 3,
        learners: [memberId(disk('n4'))],
        addresses: [{ member: memberId(disk('n4')), address: n4.address }],
      },
    );
    n1.roster.update(added, null);
    n1.peers.refresh();
    await until('the connection', () => n1.connected.includes('n4'));
    expect(n4.standing.cluster?.clusterId).toBe(n1.standing.cluster?.clusterId);
    const message = { ...heartbeat(1), to: memberId(disk('n4')) };
    n1.peers.send(message.to, [message]);
    await until('the message', () => n4.received.length > 0);
    expect(n4.received).toEqual([message]);
  });

  test('is not bound by one that calls only its name, and hears nothing from it', async () => {
    const n4 = await node({ name: 'n4', formed: false, joining: waiting });
    const hello = helloOf({
      to: 'n4',
      clusterId: clusterIdOf('c', NAMES.map(disk)),
      formation: NAMES.map(disk),
    });
    const said = talk(n4.address, [packPeerHello(hello), packMessages([heartbeat(1)])]);
    expect(await said).toEqual(['FRAME_INVALID']);
    expect([n4.standing.cluster, n4.received]).toEqual([null, []]);
  });

  test('refuses to be taken for an incarnation that it is not', async () => {
    const n4 = await node({ name: 'n4', formed: false, joining: waiting });
    const hello = helloOf({ to: 'n4', toIncarnation: 'former' });
    expect(await talk(n4.address, [packPeerHello(hello)])).toEqual(['MEMBER_MISMATCH']);
  });

  test('is not listened to by a member before it is of the same cluster', async () => {
    const n2 = await node({ name: 'n2' });
    const hello = helloOf({ name: 'n4', joining: { address: 'h:4', replaces: 'x' } });
    const said = talk(n2.address, [packPeerHello(hello), packMessages([heartbeat(1)])]);
    expect(await said).toEqual(['FRAME_INVALID']);
    expect([n2.joining, n2.received]).toEqual([['n4'], []]);
  });

  test('asks the members that it knows again and again to be let in again', async () => {
    const n2 = await node({ name: 'n2' });
    await node({
      name: 'n1',
      formed: false,
      incarnation: 'anew',
      joining: { replaces: disk('n1').incarnation },
      addresses: new Map([['n2', n2.address]]),
    });
    await until('three times', () => n2.joining.length > 2);
    expect(new Set(n2.joining)).toEqual(new Set(['n1']));
    expect(n2.received).toEqual([]);
  });
});

describe('members that know different members', () => {
  test('one that is not in the own configuration is dialled back as long as it stays', async () => {
    const n2 = await node({ name: 'n2' });
    const n9 = await node({ name: 'n9', addresses: new Map([['n2', n2.address]]) });
    await until('the way there', () => n9.connected.includes('n2'));
    await until('the way back', () => n2.connected.includes('n9'));
    const message = { ...heartbeat(4), from: memberId(disk('n2')), to: memberId(disk('n9')) };
    n2.peers.send(message.to, [message]);
    await until('the message', () => n9.received.length > 0);
    await n9.close();
    await until('the end', () => n2.lost.length > 0);
    n2.peers.send(message.to, [message]);
    expect(n9.received).toEqual([message]);
  });

  test('one that was removed is told so, and nothing of it is taken', async () => {
    const n2 = await node({ name: 'n2' });
    const without1 = formedWith([memberId(disk('n2'))], { index: 9 });
    n2.roster.update(without1, without1);
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', n2.address]]) });
    await until('the refusal', () => n1.refused.length > 0);
    expect(n1.refused[0]).toMatchObject({
      code: 'MEMBER_REMOVED',
      details: { member: memberId(disk('n1')), index: 9 },
    });
    expect(n2.received).toEqual([]);
  });

  test('one that is removed while it is connected learns so when it comes again', async () => {
    const n2 = await node({ name: 'n2' });
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', n2.address]]) });
    await until('the connection', () => n1.connected.length > 0);
    const without1 = formedWith([memberId(disk('n2'))], { index: 9 });
    const left = n2.roster.update(without1, without1);
    n2.peers.refresh();
    n2.peers.dismiss(left);
    await until('the refusal', () => n1.refused.length > 0);
    expect(n1.refused[0]?.code).toBe('MEMBER_REMOVED');
  });

  test('hashes of the state come from the member that sent them', async () => {
    const n2 = await node({ name: 'n2' });
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', n2.address]]) });
    await until('the connection', () => n1.connected.length > 0);
    n1.peers.sendStateHash(memberId(disk('n2')), { index: 1024, hash: 77 });
    await until('the hash', () => n2.hashes.length > 0);
    expect(n2.hashes).toEqual([`${memberId(disk('n1'))} 77`]);
  });
});

describe('a listener', () => {
  test('says that a port is taken, and which', async () => {
    const n2 = await node({ name: 'n2' });
    await expect(node({ name: 'n1', listen: n2.address })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      details: { address: n2.address },
    });
  });

  test('says that an address is not of this machine', async () => {
    await expect(node({ name: 'n1', listen: '192.0.2.1:4000' })).rejects.toMatchObject({
      code: 'ADDRESS_UNUSABLE',
    });
  });
});

test.each([2000, 400])(
  'over %i kB/s signs of life come while a large entry is on its way',
  {
    timeout: 120_000,
  },
  async (kB) => {
    const n2 = await node({ name: 'n2' });
    const proxy = await TcpProxy.open(Number(n2.address.split(':')[1]));
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', proxy.address]]) });
    await until('both connections', () => n1.connected.length > 0);
    const ends = { from: memberId(disk('n1')), to: memberId(disk('n2')), term: 1 };
    const append = (bytes: number): Message => {
      const payload = Buffer.alloc(bytes, 7);
      const entries = [{ index: 1, term: 1, type: 'command' as const, payload }];
      const prevLog = { index: 0, term: 0 };
      return { type: 'AppendEntries', ...ends, prevLog, entries, leaderCommit: 0 };
    };
    const has = (count: number, isMeant: (message: Message) => boolean): boolean =>
      n2.received.filter(isMeant).length >= count;
    const hasEntry = (bytes: number): boolean =>
      has(1, (m) => m.type === 'AppendEntries' && m.entries[0]?.payload.byteLength === bytes);
    // The second connection is there when this has come: until then, what is large is dropped.
    const comes = async (): Promise<true | undefined> => {
      n1.peers.send(ends.to, [append(300_000)]);
      return hasEntry(300_000) || undefined;
    };
    await waitUntil('an entry', comes, { intervalMs: 200 });
    proxy.set({ up: 'open', down: 'open', upShape: { bytesPerSecond: kB * 1000, delayMs: 10 } });
    const largeBytes = 8 * 1024 * 1024;
    n1.peers.send(ends.to, [append(largeBytes)]);
    for (let beat = 1; beat <= 5; beat += 1) {
      n1.peers.send(ends.to, [heartbeat(beat)]);
      await until('a heartbeat', () => has(beat, ({ type }) => type === 'Heartbeat'));
    }
    expect(hasEntry(largeBytes)).toBe(false);
    // It would come as it is, in twenty seconds.
    if (kB < 1000) proxy.set({ up: 'open', down: 'open', upShape: null });
    await waitUntil('the large entry', async () => hasEntry(largeBytes) || undefined, {
      timeoutMs: 100_000,
    });
    await proxy.close();
    expect(n1.lost).toEqual([]);
  },
);
