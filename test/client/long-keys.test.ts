import { describe, expect, test } from 'vitest';
import type { BalsaError } from '../../src/base/errors.js';
import { text } from '../../src/client/codec.js';
import { Harness } from './support/harness.js';

const REFUSED = { code: 'KEY_TOO_LARGE', outcome: 'not-applied' };

async function given() {
  const h = new Harness();
  h.cluster.limits = { keyBytesMax: 12 };
  const db = await h.connect({ codec: text });
  return { h, db };
}

describe('bounds that are longer than any key', () => {
  const long = 'k'.repeat(14);

  test('are refused before anything is sent', async () => {
    const { h, db } = await given();
    const within = db.namespace('n');
    const refused = [
      db.range({ prefix: long }).next(),
      db.range({ from: long }).next(),
      db.range({ from: 'a', to: long }).next(),
      within.range({ prefix: 'k'.repeat(12) }).next(),
      db.count({ prefix: long }),
      db.transaction((tx) => tx.range({ prefix: long }).next()),
      db.transaction((tx) => tx.deleteRange({ prefix: long })),
      db.election(long).leader(),
    ];
    for (const error of await Promise.all(refused.map((call) => h.failure(call)))) {
      expect(error).toMatchObject(REFUSED);
    }
    expect(h.cluster.frames).toEqual([]);
  });

  test('are refused when they are to be watched', async () => {
    const { h, db } = await given();
    const within = db.namespace('n');
    const watches = [
      () => db.watch({ prefix: long }),
      () => db.watch({ from: long }),
      () => db.watch({ from: 'a', to: long }),
      () => within.watch({ key: 'k'.repeat(13) }),
    ];
    for (const watch of watches) {
      let error: BalsaError | null = null;
      try {
        watch();
      } catch (thrown) {
        error = thrown as BalsaError;
      }
      expect(error).toMatchObject(REFUSED);
    }
    await h.clock.settle();
    expect(h.cluster.frames).toEqual([]);
  });

  test('are none where they stand right behind the longest key', async () => {
    const { h, db } = await given();
    const key = 'k'.repeat(12);
    await h.until(db.put(key, 'v'));
    expect((await h.until(db.count({ prefix: key }))).count).toBe(1);
    expect((await h.until(db.count({ from: key, to: `${key}\0` }))).count).toBe(1);
    expect((await h.until(db.count({ from: `${key}\0` }))).count).toBe(0);
  });
});
