import { afterEach, describe, expect, test } from 'vitest';
import { pendingRevision, RANGE_COST } from '../../src/base/call.js';
import { unpackCall } from '../../src/base/call-codec.js';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { recordOf } from '../../src/compute/call-record.js';
import {
  CALL_LIMITS,
  type CallLimits,
  type GroupBounds,
  type GroupCall,
  type GroupMember,
  type GroupNews,
  NO_NEWS,
  type StoreSource,
} from '../../src/compute/execution.js';
import { LaneCache } from '../../src/compute/lane-cache.js';
import { WorkerPool, type WorkerPoolOptions } from '../../src/compute/sandbox/worker-pool.js';
import { oneProcedure, tellingLoads, WORKER_FILE } from './calls.js';
import { HandClock } from './hand-clock.js';
import { MemorySource } from './memory-source.js';

/** The calls of one log entry: each sees what those before it would write. */

const pools: WorkerPool[] = [];
const BOUNDS: GroupBounds = {
  msMax: 60_000,
  bytesMax: 1e6,
  rangeCostMax: 1e6,
  recordBytesMax: 1e6,
};

type Own = Pick<WorkerPoolOptions, 'threadCpuMs'>;

function poolOf(
  workers = 2,
  clock: Clock = systemClock,
  workerFile = WORKER_FILE,
  own: Own = {},
): WorkerPool {
  const pool = new WorkerPool({
    clock,
    workers,
    callsWaitingMax: 100,
    workerFile,
    ...own,
  });
  pools.push(pool);
  return pool;
}

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

function groupOf(bodies: readonly string[], limits: Partial<CallLimits> = {}): GroupCall[] {
  return bodies.map((body, n) => ({
    call: {
      bundle: {
        hash: Buffer.from(body).toString('hex').padEnd(64, '0').slice(-64),
        code: oneProcedure(body),
      },
      ...{ name: 'p', args: 'null', nowMs: 0, seed: 1, origin: '' },
      limits: { ...CALL_LIMITS, ...limits },
    },
    identity: {
      key: Buffer.from([n + 1]),
      ...{ isNamed: false, bornIndex: 0, procedure: 'p' },
      fingerprint: Buffer.alloc(8),
    },
    supplement: null,
  }));
}

/** What came of each, in short. */
function shown(members: readonly GroupMember[]): unknown[] {
  return members.map((member) => {
    if (!member.ok) return member.error.code;
    const { end, reads, ranges, dependsOn, writes } = unpackCall(member.record);
    return {
      end: end.ok ? JSON.parse(end.result) : end.code,
      reads: Object.fromEntries(reads.map((r) => [Buffer.from(r.key).toString(), r.modRevision])),
      ...(ranges.length > 0 && { ranges: ranges.map((r) => [r.keys, r.modRevisionMax]) }),
      dependsOn,
      writes: writes.map(({ key }) => Buffer.from(key).toString()),
    };
  });
}

const ADD = `const n = (ctx.get('n') ?? 0) + 1; ctx.put('n', n); return n;`;

describe('a group of calls', { timeout: 120_000 }, () => {
  test('each sees the writes of those before it, and says whose', async () => {
    const members = await poolOf().runGroup(
      groupOf([ADD, `return ctx.get('other');`, ADD, ADD]),
      new MemorySource({ n: 41 }),
      BOUNDS,
      NO_NEWS,
    );

    expect(shown(members)).toEqual([
      { end: 42, reads: { n: 1 }, dependsOn: [], writes: ['n'] },
      { end: null, reads: { other: 0 }, dependsOn: [], writes: [] },
      { end: 43, reads: { n: pendingRevision(0) }, dependsOn: [0], writes: ['n'] },
      { end: 44, reads: { n: pendingRevision(2) }, dependsOn: [2], writes: ['n'] },
    ]);
  });

  test('a deletion is seen, too, also in a range', async () => {
    const scan = `return (await ctx.scan({ prefix: 'k' })).map(({ key }) => key);`;
    const members = await poolOf().runGroup(
      groupOf([
        `ctx.delete('k2');`,
        `return ctx.get('k2');`,
        `ctx.put('k3', 1);`,
        `return (async () => { ${scan} })();`,
      ]),
      new MemorySource({ k1: 1, k2: 2 }),
      BOUNDS,
      NO_NEWS,
    );

    expect(shown(members).slice(1)).toEqual([
      { end: null, reads: { k2: 0 }, dependsOn: [0], writes: [] },
      { end: null, reads: {}, dependsOn: [], writes: ['k3'] },
      {
        end: ['k1', 'k3'],
        reads: {},
        ranges: [[2, 1]],
        dependsOn: [0, 2],
        writes: [],
      },
    ]);
  });

  test('a call that has failed is for the log, and its writes are not seen', async () => {
    const members = await poolOf().runGroup(
      groupOf([`ctx.put('n', 7); ctx.abort(String(ctx.get('m')));`, `return ctx.get('n');`]),
      new MemorySource({ n: 1, m: 2 }),
      BOUNDS,
      NO_NEWS,
    );

    expect(shown(members)).toEqual([
      { end: 'PROCEDURE_ABORTED', reads: { m: 2 }, dependsOn: [], writes: [] },
      { end: 1, reads: { n: 1 }, dependsOn: [], writes: [] },
    ]);
  });

  test('ends before a call that reads what one before it has changed without reading', async () => {
    const members = await poolOf().runGroup(
      groupOf([`ctx.add('n', 1);`, `ctx.add('n', 1);`, `return ctx.get('n');`, ADD]),
      new MemorySource({ n: 1 }),
      BOUNDS,
      NO_NEWS,
    );

    expect(members).toHaveLength(2);
  });

  test('an event is seen as the key that it will be', async () => {
    const members = await poolOf().runGroup(
      groupOf([`ctx.emit('sold', { of: 'tea' });`, `return ctx.get('_events/sold/0');`]),
      new MemorySource(),
      BOUNDS,
      NO_NEWS,
    );

    expect(shown(members)[1]).toMatchObject({ end: { of: 'tea' }, dependsOn: [0] });
  });

  test('ends when it has as many bytes, has looked at as many keys of ranges, or has taken as long, as it may', async () => {
    const many = groupOf([ADD, ADD, ADD]);
    const looks = groupOf(
      Array.from({ length: 4 }, () => `return ctx.scan({ prefix: 'a/' }).length;`),
    );
    const stored = new MemorySource({ 'a/1': 1, 'a/2': 2 });
    const pool = poolOf();

    expect(
      await pool.runGroup(many, new MemorySource(), { ...BOUNDS, bytesMax: 1 }, NO_NEWS),
    ).toHaveLength(1);
    expect(
      await pool.runGroup(many, new MemorySource(), { ...BOUNDS, msMax: 0 }, NO_NEWS),
    ).toHaveLength(1);
    const rangeCostMax = 2 * (2 + RANGE_COST);
    expect(await pool.runGroup(looks, stored, { ...BOUNDS, rangeCostMax }, NO_NEWS)).toHaveLength(
      2,
    );
  });

  test('a record that is too large is refused, and the others go on', async () => {
    const large = `ctx.put('large', 'x'.repeat(5000));`;
    const bounds = { ...BOUNDS, recordBytesMax: 1000 };

    const members = await poolOf().runGroup(
      groupOf([ADD, large, ADD]),
      new MemorySource(),
      bounds,
      NO_NEWS,
    );

    expect(shown(members)).toEqual([
      expect.objectContaining({ end: 1 }),
      'PROCEDURE_LIMIT',
      // Places are those of the log entry.
      expect.objectContaining({ end: 2, dependsOn: [0] }),
    ]);
  });

  test('what the store cannot answer fails the call that asked, and no other', async () => {
    const source = new MemorySource({ n: 1 });
    const get = source.get.bind(source);
    source.get = (key) => {
      if (Buffer.from(key).toString() === 'bad') throw new TypeError('as if memory were short');
      return get(key);
    };

    const members = await poolOf().runGroup(
      groupOf([ADD, `return ctx.get('bad');`, ADD]),
      source,
      BOUNDS,
      NO_NEWS,
    );

    expect(shown(members)).toEqual([
      expect.objectContaining({ end: 2 }),
      'INTERNAL',
      expect.objectContaining({ end: 3, dependsOn: [0] }),
    ]);
  });

  test('that is too much for the thread as a whole is run call by call, and nobody is to blame', async () => {
    const pool = poolOf(1);
    const large = JSON.stringify('x'.repeat(1_000_000));
    const calls = groupOf(Array(200).fill('return args.length;'), { computeMsMax: 60_000 }).map(
      ({ call, ...rest }) => ({ call: { ...call, args: large }, ...rest }),
    );
    const bounds = { ...BOUNDS, recordBytesMax: 1e8 };

    const members = await pool.runGroup(calls, new MemorySource(), bounds, NO_NEWS);

    expect(shown(members)).toEqual([expect.objectContaining({ end: 1_000_000 })]);
  });

  test('one whose record comes into being though its code has failed says of what', async () => {
    const supplement = { reads: [], writes: [], evenIfFailed: true };
    const calls = groupOf(['ctx.log(1); throw 1;', 'throw 2;', 'return 3;']).map((one, n) => ({
      ...one,
      supplement: n === 1 ? null : supplement,
    }));
    const members = await poolOf().runGroup(calls, new MemorySource(), BOUNDS, NO_NEWS);

    expect(members).toMatchObject([
      { ok: true, logs: ['1'], failure: 'PROCEDURE_FAILED: the procedure threw 1' },
      { ok: true, failure: null },
      { ok: true, failure: null },
    ]);
  });

  test('one that breaks the thread fails alone, once: those before it are run again, those behind it later', async () => {
    const clock = new HandClock();
    const pool = poolOf(1, clock);
    const source = new MemorySource({ n: 1 });
    const get = source.get.bind(source);
    source.get = (key) => {
      // Behind the answer, from which on its time counts.
      if (Buffer.from(key).toString() === 'bad') setImmediate(() => clock.fire(62_000));
      return get(key);
    };
    const calls = groupOf([ADD, `ctx.get('bad'); for (;;) {}`, ADD], { computeMsMax: 60_000 });

    const first = await pool.runGroup(calls, source, BOUNDS, NO_NEWS);
    const second = await pool.runGroup(calls.slice(1), source, BOUNDS, NO_NEWS);

    expect(shown(first)).toEqual([
      expect.objectContaining({ end: 2 }),
      // It counts only if what it may have seen does.
      expect.objectContaining({ end: 'PROCEDURE_LIMIT', dependsOn: [0] }),
    ]);
    // It is not run again for a while; the others are.
    expect(second).toMatchObject([
      { ok: false, error: { code: 'OVERLOADED', details: { retryAfterMs: 5000 } } },
      { ok: true },
    ]);
    expect(shown(await pool.runGroup(calls.slice(2), source, BOUNDS, NO_NEWS))).toEqual([
      expect.objectContaining({ end: 2 }),
    ]);
  });
});

describe('the code of a call that breaks the thread while it is loaded', {
  timeout: 120_000,
}, () => {
  const endless = oneProcedure('', 'cp', 'Array.prototype.indexOf.call({ length: 9e15 }, 1);');
  // The first one has been loaded by then.
  const workerFile = tellingLoads(-2);
  const calls = groupOf([ADD, '', ADD]).map((one, n) =>
    n === 1
      ? { ...one, call: { ...one.call, bundle: { hash: 'ee'.repeat(32), code: endless } } }
      : one,
  );

  /** @param whenLoading it is known that the code is being loaded */
  function telltale(whenLoading: () => void): { source: StoreSource; told: string[] } {
    const source: StoreSource = new MemorySource({ n: 1 });
    const told: string[] = [];
    source.checkpoint = (json) => {
      told.push(json);
      whenLoading();
    };
    return { source, told };
  }

  test('fails that call alone, not the first one of its group', async () => {
    const clock = new HandClock();
    const pool = poolOf(1, clock, workerFile, { threadCpuMs: () => null });
    const { source, told } = telltale(() => {
      // What is seen to be begun has all of its time from then on.
      for (const ms of [0, 9999, 1]) clock.fire(ms);
    });

    const first = await pool.runGroup(calls, source, BOUNDS, NO_NEWS);

    expect(shown(first)).toMatchObject([{ end: 2 }, { end: 'PROCEDURE_LIMIT' }]);
    expect(told).toEqual(['-2']);
    // Nothing of its bundle is tried for as long as that takes.
    expect(await pool.runGroup(calls.slice(1), source, BOUNDS, NO_NEWS)).toMatchObject([
      { ok: false, error: { code: 'OVERLOADED', details: { retryAfterMs: 10_000 } } },
      { ok: true },
    ]);
    expect(told).toEqual(['-2']);
  });

  test('is ended by what its thread has computed, however long that has waited for a processor', async () => {
    const clock = new HandClock();
    let cpuMs = 500;
    const pool = poolOf(1, clock, workerFile, { threadCpuMs: () => cpuMs });
    const { source } = telltale(() => {
      clock.fire(0);
      cpuMs += 9999;
      clock.fire(59_999);
      expect(clock.timers.size).toBe(1);
      cpuMs += 1;
      clock.fire(0);
    });

    const members = await pool.runGroup(calls, source, BOUNDS, NO_NEWS);

    expect(members.map((member) => member.ok && unpackCall(member.record).end)).toMatchObject([
      { ok: true },
      { code: 'PROCEDURE_LIMIT', message: expect.stringContaining('loadMsMax (10000)') },
    ]);
  });

  test('is not to blame where no processor was left for its thread', async () => {
    const clock = new HandClock();
    const pool = poolOf(1, clock, workerFile, { threadCpuMs: () => 500 });
    const { source } = telltale(() => {
      for (const ms of [0, 60_000]) clock.fire(ms);
    });

    for (let i = 0; i < 2; i += 1) {
      const members = await pool.runGroup(calls, source, BOUNDS, NO_NEWS);

      expect(members).toMatchObject([
        { ok: true },
        { ok: false, error: { code: 'OVERLOADED', details: { retryAfterMs: 1000 } } },
      ]);
    }
  });
});

describe('the code of a call that takes too long to load', { timeout: 120_000 }, () => {
  test('is not tried again with the next call', async () => {
    const pool = poolOf(1, systemClock, tellingLoads(-2));
    const endless = oneProcedure('', 'cp', 'for (;;) {}');
    const [first, second] = groupOf([ADD, '']) as [GroupCall, GroupCall];
    const slow = {
      ...second,
      call: { ...second.call, bundle: { hash: 'ee'.repeat(32), code: endless } },
    };
    const source: StoreSource = new MemorySource({ n: 1 });
    const told: string[] = [];
    source.checkpoint = (json) => told.push(json);

    for (let i = 0; i < 3; i += 1) {
      const members = await pool.runGroup([first, slow], source, BOUNDS, NO_NEWS);
      expect(shown(members)).toMatchObject([{}, { end: 'PROCEDURE_FAILED' }]);
    }
    expect(told).toEqual(['-2']);
  });
});

describe('what the thread of groups has read', { timeout: 120_000 }, () => {
  /** A pool with a store that counts what it is asked. */
  function counted(values: Record<string, unknown>) {
    const pool = poolOf();
    const source = new MemorySource(values);
    const run = async (bodies: readonly string[], news: GroupNews): Promise<unknown[]> =>
      shown(await pool.runGroup(groupOf(bodies), source, BOUNDS, news));
    return { source, run };
  }
  const GET = `return ctx.get('n');`;

  test('is not asked for again, nor what it has written', async () => {
    const { source, run } = counted({ n: 1 });
    await run([ADD], NO_NEWS);
    const [again] = await run([ADD], { revisions: [77], changed: [] });

    expect(again).toMatchObject({ end: 3, reads: { n: 77 }, dependsOn: [] });
    expect(source.gets).toBe(1);
  });

  test.each<[string, GroupNews]>([
    ['when others wrote it', { revisions: [77], changed: [Buffer.from('n')] }],
    ['when anything may have been written', { revisions: [77], changed: null }],
    ['when the call was not applied', { revisions: [null], changed: [] }],
    ['when it is not known what became of the group', { revisions: null, changed: [] }],
  ])('is asked for again %s', async (_when, news) => {
    const { source, run } = counted({ n: 1 });
    await run([ADD], NO_NEWS);

    expect(await run([GET], news)).toMatchObject([{ end: 1, reads: { n: 1 } }]);
    expect(source.gets).toBe(2);
  });

  test('is asked for again when it was changed without having been read', async () => {
    const { source, run } = counted({ n: 1 });
    await run([GET], NO_NEWS);
    await run([`ctx.add('n', 1);`], { revisions: [0], changed: [] });
    await run([GET], { revisions: [5], changed: [] });

    expect(source.gets).toBe(2);
  });

  test('keeps that there is nothing, and forgets what it deleted', async () => {
    const { source, run } = counted({ n: 1 });
    expect(await run([`ctx.get('m'); ctx.delete('n');`], NO_NEWS)).toHaveLength(1);
    const news = { revisions: [9], changed: [] };

    expect(await run([`return [ctx.get('m'), ctx.get('n')];`], news)).toMatchObject([
      { end: [null, null], reads: { m: 0, n: 0 } },
    ]);
    expect(source.gets).toBe(1);
  });

  test('is known anew where an event came into being', () => {
    const key = Buffer.from('_events/paid/0');
    const source = new MemorySource({ '_events/paid/0': 'old' });
    const cache = new LaneCache();
    const kept = cache.over(source);
    const effects = { reads: [], ranges: [], writes: [], updates: [], cells: [] };
    const events = [{ name: 'paid', payload: '"new"' }];
    const emitting = {
      ok: true,
      logs: [],
      result: 'null',
      effects: { ...effects, events },
    } as const;
    const [{ identity }] = groupOf(['']) as [GroupCall];
    const emits = (revision: number | null): void => {
      cache.ran([recordOf(identity, 'hash', emitting, [])]);
      cache.heed({ revisions: [revision], changed: [] });
    };

    expect(kept.get(key)?.modRevision).toBe(1);
    emits(7);
    expect(kept.get(key)).toMatchObject({ value: Buffer.from('"new"'), modRevision: 7 });
    emits(null);
    expect(kept.get(key)?.modRevision).toBe(1);
    expect(source.gets).toBe(2);
  });

  test('is kept up to a bound, the oldest goes first', () => {
    const keys = Array.from({ length: 20 }, (_, i) => `k${String(i).padStart(2, '0')}`);
    const source = new MemorySource(Object.fromEntries(keys.map((key) => [key, 'x'.repeat(1e6)])));
    const kept = new LaneCache().over(source);
    const asked = (key: string | undefined): number => {
      const { gets } = source;
      kept.get(Buffer.from(key ?? ''));
      return source.gets - gets;
    };

    for (const key of keys) expect(asked(key)).toBe(1);
    expect(asked(keys.at(-1))).toBe(0);
    expect(asked(keys[0])).toBe(1);
  });
});
