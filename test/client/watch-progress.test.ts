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
});
