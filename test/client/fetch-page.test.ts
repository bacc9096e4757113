import { expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import type { Engine } from '../../src/client/engine.js';
import { fetchAll } from '../../src/client/fetch-page.js';
import type { PendingPage } from '../../src/client/pending-read.js';
import { Harness } from './support/harness.js';

test('items of several pages come with the state that the first of them was read from', async () => {
  const h = new Harness();
  const db = await h.connect();
  const { meta } = await h.until(db.put('k', 'v'));
  const asked: PendingPage[] = [];
  const engine = {
    limits: LIMITS,
    callLimits: () => ({ startedMs: 0, deadlineMs: Number.POSITIVE_INFINITY, signal: undefined }),
    ask: (_request: unknown, call: PendingPage) => void asked.push(call),
  } as unknown as Engine;
  const query = {
    ...{ from: Buffer.from('a'), to: null, keysMax: 1, reverse: false, revision: null, bound: 0 },
    ...{ consistency: 'linearizable' as const, keysOnly: false, filter: null },
  };
  const item = (key: string) => ({
    ...{ key: Buffer.from(key), value: Buffer.from('v'), lease: 0 },
    ...{ createRevision: 1, modRevision: 1, version: 1 },
  });
  const all = fetchAll(engine, query as unknown as Parameters<typeof fetchAll>[1], {});
  await h.clock.settle();
  const first = { ...meta, level: 'linearizable' as const, revision: 4, appliedIndex: 9 };
  asked[0]?.succeed(
    { items: [item('a')], revision: 4, continueFrom: Buffer.from('b'), count: 1 },
    first,
  );
  await h.clock.settle();
  const later = {
    ...meta,
    level: 'session' as const,
    revision: 6,
    appliedIndex: 12,
    replica: 'n2',
  };
  asked[1]?.succeed({ items: [item('b')], revision: 4, continueFrom: null, count: 1 }, later);

  const found = await all;
  expect(found.items.map(({ key }) => String(key))).toEqual(['a', 'b']);
  expect(found.revision).toBe(4);
  expect(found.meta).toMatchObject({ level: 'linearizable', revision: 4, appliedIndex: 9 });
});
