import { describe, expect, test } from 'vitest';
import { connected } from './support/watch-connected.js';
import { collect, put } from './support/watch-script.js';

describe('progress of a watch', () => {
  test('is told in its place between the events', async () => {
    const { db, script, asked, settle } = await connected();
    const seen: string[] = [];
    const watch = db.watch({ onProgress: (revision) => void seen.push(`progress ${revision}`) });
    await asked(1);
    script.created(0);
    script.events([put(1, 'a', '1')]);
    script.progress(5);
    script.events([put(6, 'a', '2')]);
    script.progress(8);
    script.progress(9);
    await settle();
    expect(seen).toEqual([]);
    void (async () => {
      for await (const { revision } of watch) seen.push(`event ${revision}`);
    })();
    await settle();
    expect(seen).toEqual(['event 1', 'progress 5', 'event 6', 'progress 9']);
    await watch.close();
  });

  test('comes as batches without events when it is asked for', async () => {
    const { db, script, asked, settle } = await connected();
    const asking = collect(db.watch({ progress: true }));
    await asked(1);
    script.created(0);
    script.progress(5);
    await settle();
    expect(asking.batches).toEqual([{ revision: 5, events: [] }]);
  });

  test('does not go back when another replica, which is behind, takes the watch over', async () => {
    const { h, db, script, asked, settle } = await connected();
    const seen: number[] = [];
    const onProgress = (revision: number): void => void seen.push(revision);
    const watch = db.watch({ progress: true, consistency: 'any', onProgress });
    const taken = collect(watch);
    await asked(1);
    script.created(0);
    script.events([put(90, 'a', '1')]);
    await settle();
    h.cluster.replica('n1').disconnectAll();
    await asked(2);
    script.created(50);
    script.progress(50);
    await settle();
    script.progress(91);
    await settle();
    expect(taken.batches.map(({ revision }) => revision)).toEqual([90, 91]);
    expect(seen).toEqual([91]);
    expect(watch.revision).toBe(91);
  });
});
