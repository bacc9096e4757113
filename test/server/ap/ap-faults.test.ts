import { describe, expect, test } from 'vitest';
import type { DeltaFrame } from '../../../src/rpc/delta-frames.js';
import type { StateMachine } from '../../../src/statemachine/state-machine.js';
import { deploy, hashOf } from '../../statemachine/call-records.js';
import { ApWorld, add, append, say, setAdd } from './ap-world.js';

/** `ap` calls where frames, disks and members are lost. */

const n = (by = 1) => ({ key: 'n', change: add(by) });

/** Of the frames with deltas from one to another, those at these places (from 1) are lost. */
function lose(ap: ApWorld, from: number, to: number, places: readonly number[]): () => number {
  let count = 0;
  ap.world.fateOfDeltas = (a: string, b: string, frame: DeltaFrame) => {
    if (a !== `n${from}.1` || b !== `n${to}.1` || frame.type !== 'deltas') return [1];
    count += 1;
    return places.includes(count) ? [] : [1];
  };
  return () => count;
}

/** 1 has added an item to a set; 2 has heard of it just now, and 3 hears of it from 2 alone. Nothing is merged. */
async function givenOneThatPassesOn(): Promise<ApWorld> {
  const ap = await ApWorld.start(5);
  for (const place of [4, 5]) ap.machine(place).crash();
  ap.split([[1, 2], [3]]);
  await ap.call(1, { key: 's', change: setAdd('x') });
  await ap.world.until(() => ap.pending(2) === 1);
  ap.machine(1).crash();
  await ap.world.run(10);
  ap.world.heal();
  return ap;
}

test('what was made with knowledge of a copy is passed on behind that', async () => {
  const ap = await givenOneThatPassesOn();
  expect(await ap.call(2, { key: 's', clears: true })).toBe('[] pending');
  await ap.world.until(() => ap.pending(3) === 2);
  expect(await ap.look(3, 's')).toEqual([]);
});

describe('when a frame with deltas is lost', () => {
  test('what has seen those in it is not taken in before them', async () => {
    const ap = await givenOneThatPassesOn();
    const sent = lose(ap, 2, 3, [1]);
    await ap.world.until(() => sent() === 1);
    expect(await ap.call(2, { key: 's', clears: true })).toBe('[] pending');
    await ap.world.until(() => ap.pending(3) === 2);
    expect(await ap.look(3, 's')).toEqual([]);
  });

  test('it is sent again, though others are heard there all the time', async () => {
    const ap = await ApWorld.start(5);
    for (const place of [4, 5]) ap.machine(place).crash();
    // 2 leads: nobody else hears two others.
    ap.split([[1], [3]]);
    lose(ap, 1, 2, [1]);
    await ap.world.until(() => ap.world.leader?.id === 'n2.1');
    await ap.world.run(2000);
    await ap.call(1, n(100));
    for (let i = 0; i < 15; i += 1) {
      await ap.call(3, n());
      await ap.world.run(200);
    }
    expect(ap.pending(1)).toBe(0);
    expect(ap.merged(2, 'n')).toBeGreaterThan(100);
  });
});

describe('a call that was made elsewhere and is known here as a copy', () => {
  test('is answered with peers when so many others have it, and not before', async () => {
    const ap = await ApWorld.start(5, { readWaitMsMax: 1000 });
    ap.split([[1, 2], [3], [4], [5]]);
    await ap.world.run(3000);
    await ap.call(1, n(), { key: 'k' });
    await ap.world.until(() => ap.pending(2) === 1);
    expect(await ap.call(2, n(), { key: 'k', peers: 2 })).toBe('TIMEOUT unknown');
    expect(await ap.call(2, n(), { key: 'k', peers: 1 })).toBe('again 1 pending');
  });

  test('counts once though its origin is lost, and the others have forgotten its key', async () => {
    const state = { callKeptMs: 500, namedCallKeptMs: 500, clockSkewMsMax: 500 };
    const ap = await ApWorld.start(5, {}, { state });
    ap.split([
      [1, 2, 3],
      [4, 5],
    ]);
    await ap.world.run(3000);
    await ap.call(1, n(), { key: 'k' });
    await ap.call(4, n(), { key: 'k' });
    await ap.world.until(() => ap.pending(5) === 1);
    ap.machine(4).crash();
    ap.machine(4).loseDeltas();
    await ap.world.run(15_000);
    await ap.world.wait(ap.machine(4).start());
    const isolated = ap.machine(5);
    ap.world.heal();
    ap.world.isolate(isolated.id);
    await ap.world.run(15_000);
    ap.world.heal();
    await ap.world.run(15_000);
    await ap.settle();
    expect(ap.merged(1, 'n')).toBe(1);
    expect(ap.machine(1).replica.machine.merges.size).toBe(0);
  });
});

test('a call counts once that a member made as ap, and the others as cp, however long that one was away', async () => {
  const state = { callKeptMs: 500, namedCallKeptMs: 500, clockSkewMsMax: 500 };
  const ap = await ApWorld.start(3, {}, { state });
  // Log time stands still meanwhile, and is far behind the time of day then.
  for (const place of [1, 2, 3]) ap.machine(place).crash();
  await ap.world.run(60_000);
  for (const place of [1, 2, 3]) await ap.world.wait(ap.machine(place).start());
  await ap.world.until(() => ap.world.leader !== null && ap.world.leader !== undefined);
  const [away = 0] = [1, 2, 3].filter((place) => ap.machine(place) !== ap.world.leader);
  ap.world.isolate(ap.machine(away).id);
  expect(await ap.call(away, n(), { key: 'k' })).toBe('1 pending');
  const hash = hashOf('cccc');
  await ap.world.ask(deploy(hash, ['p']));
  expect(await ap.submit(n(), 'k', hash)).toBe('"cp"');
  const machine = (): StateMachine | undefined => ap.world.leader?.replica.machine;
  await ap.world.run(15_000);
  await ap.world.write(1);
  expect(machine()?.appliedCall(Buffer.from('k'))).toBeNull();
  ap.world.heal();
  await ap.settle();
  expect(await ap.look(away, 'n')).toBe(0);
  for (const place of [1, 2, 3]) expect(ap.merged(place, 'n')).toBe(0);
  await ap.world.until(() => machine()?.merges.size === 0);
});

test('calls and merges are stamped with a time of day that is not before what was seen of others', async () => {
  const ap = await ApWorld.start();
  const ahead = ap.machine(2).replica.calls;
  const behind = ap.machine(1).replica.calls;
  const before = behind.wallMs;
  ap.machine(2).wallAheadMs = 100_000;
  await ap.call(2, n());
  await ap.settle();
  expect(ahead.wallMs).toBeGreaterThanOrEqual(before + 100_000);
  expect(behind.wallMs).toBeGreaterThanOrEqual(before + 100_000);
});

describe('what is not on a disk yet', () => {
  test('is sent to nobody by whoever has made it', async () => {
    const ap = await ApWorld.start();
    ap.machine(1).diskMs = 10_000;
    ap.begin(1, n());
    await ap.world.run(3000);
    expect([ap.pending(1), ap.pending(2), ap.pending(3)]).toEqual([1, 0, 0]);
  });

  test('is no copy', async () => {
    const ap = await ApWorld.start(5, { readWaitMsMax: 1000 });
    ap.split([[1, 2], [3], [4], [5]]);
    await ap.world.run(3000);
    ap.machine(2).diskMs = 20_000;
    expect(await ap.call(1, n(), { key: 'k', peers: 1 })).toBe('TIMEOUT unknown');
    expect(ap.pending(2)).toBe(1);
    await ap.world.run(40_000);
    expect(await ap.call(1, n(), { key: 'k', peers: 1 })).toBe('again 1 pending');
  });
});

test('two calls at one time under one key with other arguments are not taken for the same', async () => {
  const ap = await ApWorld.start();
  const both = [ap.begin(1, { key: 'n' }, { key: 'k' }), ap.begin(1, n(7), { key: 'k' })];
  await ap.world.until(() => both.every(({ answer }) => answer !== null));
  expect(both.map(({ answer }) => say(answer))).toEqual([...['0', 'CALL_KEY_REUSED not-applied']]);
});

test('a call is refused when the queue does not take what it leaves', async () => {
  const ap = await ApWorld.start();
  await ap.world.wait(ap.machine(1).deltas?.close() ?? Promise.resolve());
  expect(await ap.call(1, n())).toBe('SHUTTING_DOWN not-applied');
});

describe('a replica that gets a snapshot', () => {
  test('keeps what it has made meanwhile, and shows nothing twice', async () => {
    const ap = await ApWorld.start();
    await ap.call(1, n(100));
    await ap.settle();
    const follower = [1, 2, 3].find((p) => ap.machine(p) !== ap.world.leader) ?? 0;
    const leader = [1, 2, 3].find((p) => ap.machine(p) === ap.world.leader) ?? 0;
    ap.world.isolate(ap.machine(follower).id);
    await ap.call(follower, n(), { key: 'k' });
    await ap.call(leader, n(), { key: 'k' });
    await ap.call(follower, n(10));
    await ap.world.write(200);
    const { node, machine: before } = ap.machine(follower).replica;
    const logStart = (): number => ap.machine(leader).replica.node.logStart.index;
    await ap.world.until(() => logStart() > node.lastIndex);
    ap.world.heal();
    await ap.world.until(() => ap.machine(follower).replica.machine !== before);
    expect(await ap.look(follower, 'n')).toBe(111);
    await ap.settle();
    for (const place of [1, 2, 3]) expect(ap.merged(place, 'n')).toBe(111);
  });
});

test('a replica that gets a snapshot serves all the while, whoever asks and whatever is copied to it', async () => {
  const ap = await ApWorld.start();
  await ap.call(1, n());
  await ap.settle();
  const [follower = 0, other = 0] = [1, 2, 3].filter((p) => ap.machine(p) !== ap.world.leader);
  const { replica } = ap.machine(follower);
  ap.world.isolate(ap.machine(follower).id);
  await ap.call(follower, n(10));
  await ap.world.write(200);
  const logStart = (): number => ap.world.leader?.replica.node.logStart.index ?? 0;
  await ap.world.until(() => logStart() > replica.node.lastIndex);
  const before = replica.machine;
  ap.world.heal();
  const told: ReturnType<ApWorld['begin']>[] = [];
  // From before the state is switched until behind that.
  await ap.world.until(() => {
    if (replica.snapshots.installing) {
      told.push(ap.begin(follower, n(1000)), ap.begin(other, n(1000)));
    }
    return replica.machine !== before;
  });
  expect(told.length).toBeGreaterThan(2);
  await ap.world.until(() => told.every(({ answer }) => answer !== null));
  expect(told.filter(({ answer }) => answer?.ok !== true)).toEqual([]);
  await ap.settle();
  for (const place of [1, 2, 3]) expect(ap.merged(place, 'n')).toBe(11 + 1000 * told.length);
  expect(ap.world.running.flatMap(({ failures }) => failures)).toEqual([]);
});

describe('a leader that goes while it merges', () => {
  test('leaves what the next one brings again, and it counts once', async () => {
    const ap = await ApWorld.start();
    for (let i = 0; i < 6; i += 1) {
      const leader = ap.world.leader?.replica;
      const calls = [1, 2, 3].map((place) => ap.begin(place, { key: 'l', change: append('x') }));
      await ap.world.until(() => calls.every(({ answer }) => answer !== null));
      await ap.world.run(30 + i);
      leader?.transfer(null, () => {});
      await ap.world.run(1500);
    }
    await ap.settle();
    expect(ap.merged(1, 'l', 'log')).toHaveLength(18);
  });
});

test('a delta that cannot be read is not taken in, and the stream that it came on goes on', async () => {
  const ap = await ApWorld.start();
  const { calls } = ap.machine(2).replica;
  const deltas = [Buffer.from('what'), Buffer.from([0x90])];
  expect(() =>
    calls.receiveDeltas('n1.1', { type: 'deltas', behind: new Map(), deltas }),
  ).not.toThrow();
  expect(ap.pending(2)).toBe(0);
  await ap.call(1, n(3));
  await ap.settle();
  expect(ap.merged(2, 'n')).toBe(3);
});

test('deltas of a member that cannot be read are told once, sent again less and less often, and taken in when they can be', async () => {
  const ap = await ApWorld.start(5);
  for (const place of [3, 4, 5]) ap.machine(place).crash();
  const sent: number[] = [];
  let isDamaged = true;
  ap.world.fateOfDeltas = (from, to, frame) => {
    if (from !== 'n1.1' || to !== 'n2.1' || frame.type !== 'deltas') return [1];
    sent.push(ap.world.scheduler.nowMs);
    if (isDamaged) Object.assign(frame, { deltas: frame.deltas.map(() => Buffer.from([0x90])) });
    return [1];
  };
  for (let i = 0; i < 3; i += 1) {
    await ap.call(1, n());
    await ap.world.run(10_000);
  }
  const reason = expect.stringContaining('delta');
  const unreadable = { type: 'deltas-unreadable', member: 'n1.1', reason };
  expect(ap.machine(2).notices).toEqual([unreadable]);
  expect(sent.length).toBeLessThan(20);
  isDamaged = false;
  await ap.world.run(8500);
  expect(ap.pending(2)).toBe(3);
  isDamaged = true;
  await ap.call(1, n());
  await ap.world.run(1000);
  expect(ap.machine(2).notices).toEqual([unreadable, unreadable]);
});
