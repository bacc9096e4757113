import { beforeEach, describe, expect, test, vi } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { packRecord, recordOf } from '../../../src/compute/call-record.js';
import type { CallAnswer, CallRequest } from '../../../src/server/calls/call-types.js';
import { identityOf } from '../../../src/server/calls/runner.js';
import { COUNT, HASH, LaneWorld, said } from './lane-world.js';

function saidOf(answer: CallAnswer): unknown {
  return answer.ok && answer.repeated ? `${answer.result} again` : said({ answer });
}

function submit(record: Uint8Array): { answer: CallAnswer | null } {
  const told: { answer: CallAnswer | null } = { answer: null };
  world.lane.submit(record, (answer) => {
    told.answer = answer;
  });
  return told;
}

let world: LaneWorld;
beforeEach(async () => {
  world = await LaneWorld.start();
  world.bodies.set('p', COUNT);
});

describe('the lane', () => {
  test('puts the calls that wait into one entry, in their order, each over those before it', async () => {
    const first = world.call('p', 'n');
    await world.proposal();
    const later = [world.call('p', 'n'), world.call('p', 'other'), world.call('p', 'n')];

    expect(await world.commit()).toBe(1);
    expect(said(first)).toBe(0);
    expect(later.map(said)).toEqual(['no answer yet', 'no answer yet', 'no answer yet']);
    expect(await world.commit()).toBe(3);
    expect(later.map(said)).toEqual([1, 0, 2]);
    expect(world.get('n')).toBe(3);
  });

  test('sends the thread about as many calls as it had time for the last time, and more when it had time for all', async () => {
    world.callMs = 1;
    const calls = Array.from({ length: 400 }, () => world.call('p', 'n'));
    expect(await world.commit()).toBe(20);
    expect(await world.commit()).toBe(20);
    expect(world.sent.slice(0, 3)).toEqual([400, 25, 25]);
    world.callMs = 0.01;
    while (said(calls.at(-1) ?? { answer: null }) === 'no answer yet') await world.commit();
    expect(world.sent.slice(3)).toEqual([25, 50, 100, 165]);
    expect(calls.map(said)).toEqual(calls.map((_, i) => i));
    world.callMs = 15;
    for (let i = 0; i < 40; i += 1) world.call('p', 'n');
    await world.commit();
    await world.commit();
    expect(world.sent.slice(7)).toEqual([40, 16, 16]);
  });

  test('runs a call again whose reads were overtaken by another write, with those that saw it', async () => {
    await world.put('n', 10);
    const calls = [world.call('p', 'n'), world.call('p', 'm'), world.call('p', 'n')];
    await world.proposal();
    await world.put('n', 20);

    await world.commit();
    expect(calls.map(said)).toEqual(['no answer yet', 0, 'no answer yet']);
    expect(await world.commit()).toBe(2);
    expect(calls.map(said)).toEqual([20, 0, 21]);
    expect(world.ran).toHaveLength(5);
    expect(world.heldTimes).toBe(0);
  });

  test('runs a call again that fails of what was mended meanwhile', async () => {
    world.bodies.set('q', (view) => view.get('n'));
    const notText = { key: Buffer.from('n'), value: Buffer.from([0xff]) };
    await world.replica.do({ type: 'put', ...notText });
    const call = world.call('q');
    await world.proposal();
    await world.put('n', 5);

    await world.commit();
    await world.commit();
    expect(said(call)).toBe('5');
  });

  test('holds other writes back for a call that was overtaken twice, until it is applied', async () => {
    const call = world.call('p', 'n');
    for (const value of [1, 2]) {
      await world.proposal();
      await world.put('n', value);
      if (value === 2) world.isQuiet = false;
      await world.commit();
    }
    expect(world.isHeld).toBe(true);
    expect(world.proposed).toHaveLength(0);
    // What was in the log before is applied, and nothing more gets in.
    await world.put('n', 3);
    world.isQuiet = true;
    world.lane.wake();

    await world.commit();
    expect(said(call)).toBe(3);
    expect(world.isHeld).toBe(false);
  });

  test('runs one that was overtaken twice alone', async () => {
    const calls = [world.call('p', 'n'), world.call('p', 'm')];
    for (const value of [1, 2]) {
      await world.proposal();
      await world.put('n', value);
      await world.commit();
    }
    const behind = world.call('p', 'm');

    expect(await world.commit()).toBe(1);
    expect(calls.map(said)).toEqual([2, 0]);
    await world.commit();
    expect(said(behind)).toBe(1);
  });

  test('answers a call that failed only when what it had read holds', async () => {
    await world.put('n', 1);
    world.bodies.set('q', (view) => (view.get('n') === '1' ? view.abort('one') : 'went on'));
    const calls = [world.call('q'), world.call('q')];
    await world.proposal();
    await world.put('n', 2);

    await world.commit();
    await world.commit();
    expect(calls.map(said)).toEqual(['went on', 'went on']);

    await world.put('n', 1);
    const aborted = world.call('q');
    await world.proposal();
    expect(said(aborted)).toBe('no answer yet');
    await world.commit();
    expect(said(aborted)).toBe('PROCEDURE_ABORTED not-applied');
  });

  test('runs a call that reads what one before it only added to behind that', async () => {
    world.bodies.set('q', (view) => view.add('add', 'n', 5));
    const calls = [world.call('q'), world.call('q'), world.call('p', 'n'), world.call('q')];

    expect(await world.commit()).toBe(2);
    expect(await world.commit()).toBe(2);
    expect(calls.map(said)).toEqual([null, null, 10, null]);
    expect(world.get('n')).toBe(16);
  });

  test('tells the thread what became of its calls, and which keys others wrote', async () => {
    world.call('p', 'n');
    await world.proposal();
    await world.put('other', 1);
    await world.commit();
    world.call('p', 'n');
    await world.commit();

    const revision = world.replica.machine.get(Buffer.from('n'), null)?.modRevision ?? 0;
    expect(world.news[0]).toEqual({ revisions: null, changed: [] });
    expect(world.news[1]?.revisions).toEqual([revision - 1]);
    expect(world.news[1]?.changed?.map((key) => Buffer.from(key).toString())).toEqual(['other']);
  });

  test('tells the thread which keys others wrote also when calls that only read came next', async () => {
    world.bodies.set('q', (view) => view.get('n'));
    world.call('q');
    world.call('p', 'n');
    await world.proposal();
    await world.put('other', 1);
    await world.commit();
    world.call('q');
    await world.commit();

    expect(world.news[1]?.changed?.map((key) => Buffer.from(key).toString())).toEqual(['other']);
  });

  test('that it cannot run is told after the leader has made sure', async () => {
    const gone = world.call('gone');
    await world.settled();
    expect(said(gone)).toBe('PROCEDURE_NOT_FOUND not-applied');
    expect(world.confirmed).toBe(1);

    world.confirmation = new BalsaError('NO_QUORUM', 'nobody is there');
    const unsure = world.call('gone');
    await world.settled();
    expect(said(unsure)).toBe('NO_QUORUM not-applied');
  });

  test('runs a call that is asked for again while it waits or runs once, and tells all who asked', async () => {
    const request = { ...world.request('p', 'n'), isNamed: true };
    const told: CallAnswer[] = [];
    const ask = (asked: CallRequest): void => world.lane.add(asked, (answer) => told.push(answer));
    ask(request);
    ask(request);
    const { records } = await world.proposal();
    ask({ ...request, bornIndex: 3 });
    ask({ ...request, args: '"other"' });
    await world.commit();
    await world.commit();

    expect(records).toHaveLength(1);
    expect(world.ran).toEqual(['p', 'p']);
    expect(told.map(saidOf)).toEqual([0, '0 again', '0 again', 'CALL_KEY_REUSED not-applied']);
    expect(world.get('n')).toBe(1);

    ask(request);
    await world.commit();
    expect(told.map(saidOf).at(-1)).toBe('0 again');
  });

  test('a call whose key is made by a client is told again only if it is as old', async () => {
    const request = world.request('p', 'n');
    const told: CallAnswer[] = [];
    for (const bornIndex of [0, 0, 1]) {
      world.lane.add({ ...request, bornIndex }, (answer) => told.push(answer));
    }
    expect((await world.proposal()).records).toHaveLength(2);
    await world.commit();
    expect(told.map(saidOf)).toEqual([0, '0 again', '0 again']);
  });

  test('refuses calls beyond its bound', async () => {
    world.leads = false;
    const calls = Array.from({ length: 10_001 }, () => world.call('p', 'n'));

    expect(calls.filter(({ answer }) => answer !== null).map(said)).toEqual([
      'OVERLOADED not-applied',
    ]);
  });

  test.each(['x', 'é'])(
    'refuses calls whose arguments are too many bytes with those that wait, until these are answered: %s',
    (text) => {
      const { pendingRequestBytesMax } = world.host.limits;
      const large = text.repeat(pendingRequestBytesMax / 4 / Buffer.byteLength(text));
      world.leads = false;
      const calls = [1, 2, 3, 4].map(() => world.call('p', large));
      expect(calls.map(({ answer }) => answer !== null)).toEqual([false, false, false, true]);
      expect(said(calls[3] as (typeof calls)[0])).toBe('OVERLOADED not-applied');
      world.lane.abandon(new BalsaError('NOT_LEADER', 'another one leads'));
      expect(world.call('p', large).answer).toBe(null);
    },
  );

  test.each(['x', 'é'])(
    'gives the thread few large calls at a time, and one that is larger alone: %s',
    async (text) => {
      const MiB = (1024 * 1024) / Buffer.byteLength(text);
      world.bodies.set('q', (_, args) => String(args).length);
      for (const size of [1, 1, 1, 1, 1, 6, 1]) world.call('q', text.repeat(size * MiB));
      const groups: number[] = [];
      while (groups.reduce((sum, n) => sum + n, 0) < 7) groups.push(await world.commit());
      expect(groups).toEqual([3, 2, 1, 1]);
    },
  );

  test('refuses the thousandth attempt of one call, whose outcome is not known then', async () => {
    world.leads = false;
    const request = world.request('p', 'n');
    const told: unknown[] = [];
    for (let i = 0; i < 1002; i += 1) {
      world.lane.add(request, (answer) => told.push(said({ answer })));
    }
    expect(told).toEqual(['OVERLOADED unknown']);
  });
});

describe('a call that the leader makes by itself', () => {
  const cursor = Buffer.from('cursor');

  /** It moves the cursor on, which it has seen at this revision. */
  function follow(modRevision: number): { answer: CallAnswer | null } {
    const told: { answer: CallAnswer | null } = { answer: null };
    const supplement = {
      reads: [{ key: cursor, modRevision }],
      writes: [{ key: cursor, value: Buffer.from('1') }],
      evenIfFailed: false,
    };
    world.lane.add({ ...world.request('p', 'n'), supplement }, (answer) => {
      told.answer = answer;
    });
    return told;
  }

  test('comes to its turn however often others write what its code reads', async () => {
    const call = follow(0);
    for (const value of [1, 2]) {
      await world.proposal();
      await world.put('n', value);
      await world.commit();
      expect(said(call)).toBe('no answer yet');
    }
    expect(world.isHeld).toBe(true);

    await world.commit();
    expect(said(call)).toBe(2);
    expect(world.get('cursor')).toBe(1);
  });

  test('is told that what it came from is not so any more', async () => {
    const call = follow(0);
    await world.proposal();
    await world.put('cursor', 5);
    await world.put('n', 1);

    await world.commit();
    expect(said(call)).toBe('TXN_CONFLICT not-applied');
    expect(world.ran).toEqual(['p']);
  });

  test('is told when the store cannot tell that, and the lane goes on', async () => {
    const call = follow(0);
    await world.proposal();
    await world.put('n', 1);
    const get = vi.spyOn(world.replica.machine, 'get').mockImplementationOnce(() => {
      throw new Error('the disk');
    });
    await world.commit();
    expect(said(call)).toBe('INTERNAL not-applied');
    get.mockRestore();

    const next = world.call('p', 'n');
    await world.commit();
    expect(said(next)).toBe(1);
  });
});

describe('a call that was run elsewhere', () => {
  function counted(modRevision: number): Uint8Array {
    const key = Buffer.from('n');
    const effects = {
      reads: [{ key, modRevision }],
      ...{
        ranges: [],
        updates: [],
        events: [],
        cells: [],
        writes: [{ key, value: Buffer.from('100') }],
      },
    };
    const execution = { ok: true, logs: [], result: '"there"', effects } as const;
    return packRecord(recordOf(identityOf(world.request('p')), HASH, execution, []), 1e6);
  }

  test('is applied when what it has read holds, and seen by the calls behind it', async () => {
    const told = submit(counted(0));
    const behind = world.call('p', 'n');
    await world.commit();
    await world.commit();

    expect([told, behind].map(said)).toEqual(['there', 100]);
  });

  test('is refused when it does not: only to run it again can help', async () => {
    await world.put('n', 1);
    const told = submit(counted(0));
    await world.commit();

    expect(said(told)).toBe('TXN_CONFLICT not-applied');
    expect(world.get('n')).toBe(1);
  });
});

describe('calls that read more keys of ranges than one entry may look at', () => {
  const range = { from: Buffer.from('k'), to: Buffer.from('l') };

  beforeEach(async () => {
    world = await LaneWorld.start({ entryReadKeysMax: 100 });
    world.bodies.set('p', COUNT);
    for (let i = 0; i < 20; i += 1) await world.put(`k${i}`, i);
  });

  test('go into the log one after the other, and none is refused', async () => {
    const modRevisionMax = world.replica.machine.revision;
    const ranges = [{ ...range, keys: 20, modRevisionMax }];
    const effects = { reads: [], ranges, writes: [], updates: [], events: [], cells: [] };
    const execution = { ok: true, logs: [], result: '20', effects } as const;
    const calls = Array.from({ length: 8 }, () => {
      const record = recordOf(identityOf(world.request('p')), HASH, execution, []);
      return submit(packRecord(record, 1e6));
    });
    while (calls.some(({ answer }) => answer === null)) await world.commit();
    expect(calls.map(said)).toEqual(calls.map(() => 20));
  });

  test('are not run together', async () => {
    world.call('p', 'n');
    await world.commit();
    expect(world.bounds[0]?.rangeCostMax).toBe(50);
  });
});

describe('when leadership is lost', () => {
  const lost = new BalsaError('NOT_LEADER', 'another one leads');

  test('calls that wait were not applied', async () => {
    world.leads = false;
    const waiting = world.call('p', 'n');
    world.lane.abandon(lost);

    expect(said(waiting)).toBe('NOT_LEADER not-applied');
  });

  test('calls that are being run are not proposed', async () => {
    let goOn: (value: number) => void = () => {};
    world.bodies.set(
      'q',
      () =>
        new Promise((resolve) => {
          goOn = resolve;
        }),
    );
    const calls = [world.call('p', 'n'), world.call('q')];
    await world.settled();
    world.leads = false;
    world.lane.abandon(lost);
    goOn(1);
    await world.settled();

    expect(calls.map(said)).toEqual(['NOT_LEADER not-applied', 'NOT_LEADER not-applied']);
    expect(world.proposed).toHaveLength(0);
  });

  test('of calls in the log nobody knows, and one that would have to run again does not', async () => {
    const call = world.call('p', 'n');
    const { done } = await world.proposal();
    world.leads = false;
    world.lane.abandon(lost);
    done([{ ok: false, error: lost.withOutcome('unknown') }]);
    await world.settled();
    expect(said(call)).toBe('NOT_LEADER unknown');
  });

  test('it goes on when it leads again', async () => {
    world.leads = false;
    world.lane.abandon(lost);
    const call = world.call('p', 'n');
    await world.settled();
    expect(said(call)).toBe('no answer yet');
    world.leads = true;
    world.lane.wake();
    await world.commit();

    expect(said(call)).toBe(0);
  });

  test('closed: calls are refused from now on', async () => {
    world.lane.close(new BalsaError('SHUTTING_DOWN', 'the replica is stopping'));
    expect(said(world.call('p', 'n'))).toBe('SHUTTING_DOWN not-applied');
  });
});
