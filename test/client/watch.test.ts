import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { json } from '../../src/client/codec.js';
import type { LaggingNotice } from '../../src/client/watch-options.js';
import { errorAnswer, refusal } from './support/fake-cluster.js';
import { Harness } from './support/harness.js';
import { connected } from './support/watch-connected.js';
import { collect, deletion, put, short, WatchScript } from './support/watch-script.js';

function refused(act: () => unknown): BalsaError {
  try {
    act();
  } catch (error) {
    if (error instanceof BalsaError) return error;
  }
  throw new Error('it was not refused');
}

describe('watch', () => {
  test('gives events with key, value, previous value and revision, as they come', async () => {
    const { h, db, script, asked, settle } = await connected();
    const watch = db.watch({ prefix: 'user/', withPrevious: true });
    const taken = collect(watch);
    await asked(1);
    expect(script.last.request).toMatchObject({
      consistency: 'linearizable',
      startRevision: null,
      withPrevious: true,
      noPuts: false,
      noDeletes: false,
    });
    expect(Buffer.from(script.last.request.from).toString()).toBe('user/');
    expect(Buffer.from(script.last.request.to ?? []).toString()).toBe('user0');
    script.created(10);
    expect(await h.until(watch.ready)).toMatchObject({
      replica: 'n1',
      level: 'linearizable',
    });
    const before = put(11, 'user/a', 'x').item;
    script.events([put(11, 'user/a', 'x'), deletion(12, 'user/a', before)]);
    await settle();
    expect(taken.events).toEqual([
      {
        ...{ type: 'put', key: 'user/a', value: 'x', revision: 11, previous: undefined },
        ...{ createRevision: 11, version: 1, lease: 0 },
      },
      {
        ...{ type: 'delete', key: 'user/a', value: undefined, revision: 12 },
        previous: { value: 'x', modRevision: 11, createRevision: 11, version: 1, lease: 0 },
      },
    ]);
    expect(watch.revision).toBe(12);
  });

  test('gives single events to a plain loop, and ends when the loop is left', async () => {
    const { h, db, script, asked, settle } = await connected();
    const seen: string[] = [];
    const loop = (async () => {
      for await (const event of db.watch({ key: 'k' })) {
        seen.push(`${event.revision} ${event.value}`);
        if (seen.length === 2) break;
      }
    })();
    await asked(1);
    expect(Buffer.from(script.last.request.to ?? []).toString()).toBe('k\0');
    script.created(1);
    script.events([put(2, 'k', 'a'), put(3, 'k', 'b'), put(4, 'k', 'c')]);
    await h.until(loop);
    await settle();
    expect(seen).toEqual(['2 a', '3 b']);
    expect(script.cancelled).toEqual([script.last.request.id]);
  });

  test('gives all events of a revision together, also when they come in fragments', async () => {
    const { db, script, asked, settle } = await connected();
    const taken = collect(db.watch());
    await asked(1);
    script.created(1);
    script.events([put(2, 'a', '1'), put(3, 'a', '2')], 3, true);
    await settle();
    expect(taken.batches.map(({ revision }) => revision)).toEqual([2]);
    script.events([put(3, 'b', '3')], 3, true);
    script.events([put(3, 'c', '4'), put(5, 'a', '5')], 7);
    await settle();
    const seen = taken.batches.map(({ revision, events }) => [revision, events.length]);
    expect(seen).toEqual([
      [2, 1],
      [3, 3],
      [5, 1],
    ]);
  });

  test.each([
    ['puts', { noPuts: false, noDeletes: true }],
    ['deletes', { noPuts: true, noDeletes: false }],
  ] as const)('asks for %s only when the caller does', async (only, flags) => {
    const { db, script, asked } = await connected();
    collect(db.watch({ from: 'a', to: 'b', only, fromRevision: 7, consistency: 'any' }));
    await asked(1);
    expect(script.last.request).toMatchObject({ ...flags, startRevision: 7, consistency: 'any' });
  });

  test.each([
    [{ key: 'a', prefix: 'b' }, 'INVALID_ARGUMENT'],
    [{ prefix: 'a', to: 'b' }, 'INVALID_ARGUMENT'],
    [{ key: '' }, 'KEY_EMPTY'],
    [{ fromRevision: 0 }, 'INVALID_ARGUMENT'],
    [{ fromRevision: 1.5 }, 'INVALID_ARGUMENT'],
    [{ bufferBytesMax: 0 }, 'INVALID_ARGUMENT'],
    [{ only: 'both' as 'puts' }, 'INVALID_ARGUMENT'],
    [{ servedBy: 'n1' as 'any' }, 'INVALID_ARGUMENT'],
  ])('refuses %j as %s', async (options, code) => {
    const { db } = await connected();
    expect(refused(() => db.watch(options)).code).toBe(code);
  });

  test('can be iterated once only', async () => {
    const { h, db } = await connected();
    const watch = db.watch();
    collect(watch);
    expect((await h.failure(watch.batches().next())).code).toBe('INVALID_ARGUMENT');
  });

  test('fails with VALUE_NOT_DECODABLE, and is over, when a value is not what the codec expects', async () => {
    const h = new Harness();
    const script = new WatchScript(h);
    const db = await h.connect({ codec: json<{ n: number }>() });
    const taken = collect(db.watch());
    await h.clock.advance(20);
    script.created(1);
    script.events([put(2, 'a', '{"n":1}'), put(3, 'b', 'no json')]);
    expect((await h.failure(taken.over)).code).toBe('VALUE_NOT_DECODABLE');
    expect(taken.events.map((event) => event.value)).toEqual([{ n: 1 }]);
    await h.clock.advance(10);
    expect(script.cancelled).toHaveLength(1);
  });
});

describe('a watch whose connection is lost', () => {
  test('goes on at the next replica behind the last whole revision: no gap, no duplicate', async () => {
    const { h, db, script, asked, settle } = await connected();
    const taken = collect(db.watch());
    await asked(1);
    script.created(10);
    script.events([put(12, 'a', '1'), put(13, 'a', '2')], 20);
    await settle();
    h.cluster.elect('n2');
    h.cluster.replica('n1').condition = 'refuses';
    h.cluster.replica('n1').disconnectAll();
    await asked(2);
    expect(script.last.stream.replica?.name).not.toBe('n1');
    expect(script.last.request.startRevision).toBe(21);
    script.created(30);
    script.events([put(21, 'a', '3')]);
    await settle();
    expect(short(taken.events)).toEqual(['12 put a=1', '13 put a=2', '21 put a=3']);
  });

  test('is told a revision anew of which it had heard a part only', async () => {
    const { h, db, script, asked, settle } = await connected();
    const taken = collect(db.watch());
    await asked(1);
    script.created(10);
    script.events([put(11, 'a', '1'), put(12, 'a', '2')], 12, true);
    await settle();
    h.cluster.replica('n1').disconnectAll();
    await asked(2);
    expect(script.last.request.startRevision).toBe(12);
    script.created(12);
    script.events([put(12, 'a', '2'), put(12, 'b', '3')]);
    await settle();
    expect(short(taken.events)).toEqual(['11 put a=1', '12 put a=2', '12 put b=3']);
  });

  test('goes on behind the revision where it was created, when there were no events', async () => {
    const { h, db, script, asked, settle } = await connected();
    collect(db.watch());
    await asked(1);
    script.created(10);
    await settle();
    h.cluster.replica('n1').disconnectAll();
    await asked(2);
    expect(script.last.request.startRevision).toBe(11);
  });

  test('goes on behind its progress', async () => {
    const { h, db, script, asked, settle } = await connected();
    collect(db.watch());
    await asked(1);
    script.created(10);
    script.progress(500);
    await settle();
    h.cluster.replica('n1').disconnectAll();
    await asked(2);
    expect(script.last.request.startRevision).toBe(501);
  });

  test('goes on behind progress that was told for several at once', async () => {
    const { h, db, script, asked, settle } = await connected();
    for (const revision of [10, 11, 12]) {
      collect(db.watch());
      await asked(revision - 9);
      script.created(revision);
    }
    const [first, second, third] = script.asked.map(({ request }) => request.id);
    // One of them is cancelled, and may still be named.
    const alsoFor = [second ?? 0, 999];
    const progress = { type: 'watch-progress', revision: 500, alsoFor } as const;
    script.say({ ...progress, id: first ?? 0, appliedIndex: null });
    await settle();
    h.cluster.replica('n1').disconnectAll();
    await asked(6);
    expect(third).toBeDefined();
    const starts = script.asked.slice(3).map(({ request }) => request.startRevision);
    expect(starts).toEqual([501, 501, 13]);
  });

  test('begins anew when it was lost before it was established', async () => {
    const { h, db, script, asked } = await connected();
    const watch = db.watch();
    await asked(1);
    h.cluster.replica('n1').disconnectAll();
    await asked(2);
    expect(script.last.request.startRevision).toBeNull();
    script.created(10);
    await h.until(watch.ready);
  });

  test('is asked for again, later and later, where it is refused for a while', async () => {
    const { h, db, script, asked, settle } = await connected();
    const taken = collect(db.watch({ timeoutMs: 0 }));
    for (let i = 1; i <= 4; i += 1) {
      await asked(i);
      script.refuse('OVERLOADED', { retryAfterMs: 200 });
    }
    await asked(5);
    script.created(10);
    script.events([put(11, 'a', '1')]);
    await settle();
    expect(short(taken.events)).toEqual(['11 put a=1']);
    expect(h.clock.monotonicMs()).toBeGreaterThan(1800);
  });

  test('leaves a replica that tells what cannot come next, and goes on elsewhere', async () => {
    const { db, script, asked, settle } = await connected();
    const taken = collect(db.watch());
    await asked(1);
    script.created(10);
    script.events([put(11, 'a', '1')]);
    script.events([put(11, 'a', '1')]);
    await asked(2);
    expect(script.last.request.startRevision).toBe(12);
    await settle();
    expect(short(taken.events)).toEqual(['11 put a=1']);
  });

  test('hears nothing of what is on its way for an earlier request', async () => {
    const { h, db, script, asked, settle } = await connected();
    const taken = collect(db.watch({ bufferBytesMax: 1 }));
    await asked(1);
    script.created(10);
    await settle();
    const first = script.last;
    script.events([put(11, 'a', '1'), put(12, 'a', '2')]);
    await asked(2);
    expect(script.last.request.startRevision).toBe(13);
    script.created(12);
    const stale = [put(13, 'a', 'stale')];
    const { id } = first.request;
    const told = { type: 'watch-events', events: stale, revision: 13, more: false } as const;
    script.say({ ...told, id, appliedIndex: null });
    script.events([put(13, 'a', '3')]);
    await settle();
    expect(short(taken.events)).toEqual(['11 put a=1', '12 put a=2', '13 put a=3']);
    expect(h.cluster.received('watch-cancel')[0]?.watch).toBe(id);
  });
});

describe('a caller that takes events slowly', () => {
  test('has a bounded number waiting: the watch pauses and goes on when they are taken', async () => {
    const { db, script, asked, settle } = await connected();
    const notices: LaggingNotice[] = [];
    const watch = db.watch({
      bufferBytesMax: 5000,
      onLagging: (notice) => void notices.push(notice),
    });
    await asked(1);
    script.created(0);
    for (let i = 1; i <= 100; i += 1) script.events([put(i, 'a', 'x'.repeat(800))]);
    await settle();
    expect(script.cancelled).toHaveLength(1);
    expect(script.asked).toHaveLength(1);
    expect(notices).toEqual([{ code: 'WATCH_LAGGING', by: 'client', revision: 5 }]);

    const taken = collect(watch);
    await asked(2);
    expect(script.last.request.startRevision).toBe(6);
    script.created(100);
    script.events([put(6, 'a', 'six')]);
    await settle();
    expect(taken.events.map(({ revision }) => revision)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('gets a revision that is larger than its bound, whole', async () => {
    const { db, script, asked, settle } = await connected();
    const taken = collect(db.watch({ bufferBytesMax: 1000 }));
    await asked(1);
    script.created(0);
    const large = Array.from({ length: 20 }, (_, i) => put(1, `k${i}`, 'x'.repeat(500)));
    script.events(large.slice(0, 10), 1, true);
    script.events(large.slice(10), 1);
    await settle();
    expect(taken.batches.map(({ events }) => events.length)).toEqual([20]);
  });

  test('is not taken for slow because one revision is larger than its bound', async () => {
    const { db, script, asked, settle } = await connected();
    const notices: LaggingNotice[] = [];
    const onLagging = (notice: LaggingNotice) => void notices.push(notice);
    const taken = collect(db.watch({ bufferBytesMax: 1000, onLagging }));
    await asked(1);
    script.created(0);
    script.progress(1);
    script.events([put(2, 'a', 'x'.repeat(2000))]);
    await settle();
    script.events([put(3, 'a', 'x'.repeat(2000))]);
    await settle();
    expect(taken.events.map(({ revision }) => revision)).toEqual([2, 3]);
    expect([notices, script.cancelled]).toEqual([[], []]);
  });

  test('is told when the replica says so, and misses nothing', async () => {
    const { db, script, asked, settle } = await connected();
    const notices: LaggingNotice[] = [];
    const taken = collect(db.watch({ onLagging: (notice) => void notices.push(notice) }));
    await asked(1);
    script.created(0);
    script.events([put(1, 'a', '1')]);
    script.lagging(1);
    script.events([put(2, 'a', '2')]);
    await settle();
    expect(notices).toEqual([{ code: 'WATCH_LAGGING', by: 'replica', revision: 1 }]);
    expect(short(taken.events)).toEqual(['1 put a=1', '2 put a=2']);
  });
});

describe('the end of a watch', () => {
  test('is COMPACTED, behind all that was told before, when its history is gone', async () => {
    const { h, db, script, asked } = await connected();
    const taken = collect(db.watch());
    await asked(1);
    script.created(10);
    script.events([put(11, 'a', '1')]);
    script.refuse('COMPACTED', { compactedRevision: 40 });
    const error = await h.failure(taken.over);
    expect(error).toMatchObject({ code: 'COMPACTED', details: { compactedRevision: 40 } });
    expect(short(taken.events)).toEqual(['11 put a=1']);
    await h.clock.advance(5000);
    expect(script.asked).toHaveLength(1);
  });

  test('comes without an error when the caller closes it', async () => {
    const { h, db, script, asked, settle } = await connected();
    const watch = db.watch();
    const taken = collect(watch);
    await asked(1);
    script.created(10);
    await settle();
    await watch.close();
    await h.until(taken.over);
    await settle();
    expect(script.cancelled).toEqual([script.last.request.id]);
  });

  test('is CANCELLED when its signal is aborted', async () => {
    const { h, db, script, asked } = await connected();
    const abort = new AbortController();
    const watch = db.watch({ signal: abort.signal });
    const taken = collect(watch);
    await asked(1);
    abort.abort(new Error('enough'));
    expect((await h.failure(taken.over)).code).toBe('CANCELLED');
    expect((await h.failure(watch.ready)).code).toBe('CANCELLED');
    await h.clock.advance(5);
    expect(script.cancelled).toHaveLength(1);
  });

  test('is CLIENT_CLOSED when the client is closed', async () => {
    const { h, db, asked } = await connected();
    const taken = collect(db.watch());
    await asked(1);
    await db.close();
    expect((await h.failure(taken.over)).code).toBe('CLIENT_CLOSED');
  });

  test('is TIMEOUT or NO_QUORUM when no replica takes it in time, with what was answered last', async () => {
    const { h, db, script, asked } = await connected();
    const watch = db.watch({ timeoutMs: 1000 });
    await asked(1);
    expect((await h.failure(watch.ready)).code).toBe('TIMEOUT');

    const other = db.watch({ timeoutMs: 1000 });
    await asked(2);
    script.refuse('NO_QUORUM');
    const error = await h.failure(collect(other).over);
    expect(error.code).toBe('NO_QUORUM');
  });

  test('has no time limit once it was established', async () => {
    const { h, db, script, asked } = await connected();
    const taken = collect(db.watch({ timeoutMs: 1000 }));
    await asked(1);
    script.created(10);
    await h.clock.advance(5);
    for (const replica of h.cluster.replicas) {
      replica.condition = 'refuses';
      for (const stream of [...replica.streams]) stream.drop();
    }
    await h.clock.advance(30_000);
    for (const replica of h.cluster.replicas) replica.condition = 'up';
    await asked(2);
    script.created(20);
    script.events([put(11, 'a', '1')]);
    await h.clock.advance(5);
    expect(short(taken.events)).toEqual(['11 put a=1']);
  });

  test('is what a callback of the caller throws', async () => {
    const { h, db, script, asked } = await connected();
    const onLagging = (): never => {
      throw new Error('mine');
    };
    const taken = collect(db.watch({ onLagging }));
    await asked(1);
    script.created(10);
    script.lagging(10);
    expect((await h.failure(taken.over)).message).toContain('mine');
  });
});

describe('which replica serves a watch', () => {
  test('refusals of one that knows no leader do not put off the search for the leader', async () => {
    const { h, db, script } = await connected();
    h.cluster.replica('n2').believes = null;
    h.cluster.elect('n3');
    for (const name of ['n1', 'n3']) {
      h.cluster.replica(name).condition = 'refuses';
      h.cluster.replica(name).disconnectAll();
    }
    // Each waits longer from refusal to refusal; of many, one is refused at any time.
    for (let n = 0; n < 30; n += 1) collect(db.watch({ timeoutMs: 0 }));
    let answered = 0;
    const refuseAll = (): void => {
      for (const { request, stream } of script.asked.slice(answered)) {
        answered += 1;
        if (stream.replica?.name !== 'n2') continue;
        script.say(errorAnswer(request.id, refusal('NOT_LEADER', { details: {} })), stream);
      }
    };
    for (let ms = 0; ms < 30_000; ms += 1) {
      if (ms === 10_000) h.cluster.replica('n3').condition = 'up';
      await h.clock.advance(1);
      refuseAll();
      if (script.asked.at(-1)?.stream.replica?.name === 'n3') return;
    }
    throw new Error('it stays with the one that knows no leader');
  });

  test('by default the one at hand; with servedBy leader only that', async () => {
    const { h, db, script, asked } = await connected();
    h.cluster.elect(null);
    h.cluster.replica('n1').disconnectAll();
    collect(db.watch());
    await asked(1);
    const leaderOnly = db.watch({ servedBy: 'leader' });
    await h.clock.advance(1000);
    const before = script.asked.length;
    h.cluster.elect('n3');
    const atLeader = (): number =>
      script.asked.slice(before).filter((a) => a.stream.replica?.name === 'n3').length;
    for (let ms = 0; ms < 5000 && atLeader() < 2; ms += 1) await h.clock.advance(1);
    expect(atLeader()).toBe(2);
    await leaderOnly.close();
  });
});
