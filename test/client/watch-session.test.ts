import { describe, expect, test } from 'vitest';
import { connected } from './support/watch-connected.js';
import { deletion, put } from './support/watch-script.js';

/** A watch to which nothing was given yet. */
async function given(options: { progress?: boolean } = {}) {
  const all = await connected();
  const { db, script, asked } = all;
  const batches = db.watch({ prefix: 'k', ...options }).batches();
  const first = batches.next();
  await asked(1);
  script.created(10);
  const bounds = (): number[] => all.h.cluster.received('get').map(({ bound }) => bound);
  const get = (): Promise<unknown> =>
    all.h.failure(db.get('k', { consistency: 'session', timeoutMs: 20 }));
  return { ...all, batches, first, bounds, get };
}

describe('a session', () => {
  test('has what its watches have given, from then on', async () => {
    const { h, db, script, batches, first, bounds, get, settle } = await given();
    script.appliedIndex = 500;
    script.events([put(11, 'k', '1')]);
    await h.until(first);
    expect(db.token).toBe('500@cluster-a');
    expect(await get()).toMatchObject({ code: 'SESSION_BEHIND' });
    expect(new Set(bounds())).toEqual(new Set([500]));
    // What has arrived, and the caller has not taken, he does not know of.
    script.appliedIndex = 600;
    script.events([deletion(12, 'k')]);
    await settle();
    expect(db.token).toBe('500@cluster-a');
    await h.until(batches.next());
    expect(db.token).toBe('600@cluster-a');
  });

  test('has that all of a revision was given that came in parts', async () => {
    const { h, db, script, first } = await given();
    script.appliedIndex = 500;
    script.events([put(11, 'k', '1')], 11, true);
    script.appliedIndex = 501;
    script.events([put(11, 'kk', '2')]);
    await h.until(first);
    expect(db.token).toBe('501@cluster-a');
  });

  test('has how far a watch is without events, too', async () => {
    const { h, db, script, first } = await given({ progress: true });
    script.appliedIndex = 500;
    script.progress(40);
    expect((await h.until(first)).value).toEqual({ revision: 40, events: [] });
    expect(db.token).toBe('500@cluster-a');
  });

  test('learns nothing of events of a replica that does not say what it has applied', async () => {
    const { h, db, script, first } = await given();
    script.events([put(11, 'k', '1')]);
    await h.until(first);
    // That is from when the watch was established.
    expect(db.token).toBe('10@cluster-a');
  });
});
