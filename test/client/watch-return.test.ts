import { expect, test } from 'vitest';
import { Harness } from './support/harness.js';

test('whoever ends the iteration of a watch does not wait for an event', async () => {
  const h = new Harness();
  const db = await h.connect();
  const watch = db.watch({ key: 'k' });
  const events = watch[Symbol.asyncIterator]();
  const next = events.next();
  await h.until(watch.ready);
  const returned = events.return();
  expect(await h.until(next, 100)).toMatchObject({ done: true });
  expect(await h.until(returned, 100)).toMatchObject({ done: true });
  await h.clock.advance(10);
  expect(h.cluster.received('watch-cancel')).toHaveLength(1);
});

test('an iteration that was not begun ends its watch, too', async () => {
  const h = new Harness();
  const db = await h.connect();
  for (const open of ['batches', 'events'] as const) {
    const watch = db.watch({ key: 'k' });
    await h.until(watch.ready);
    const items: AsyncGenerator<unknown, void, undefined> =
      open === 'batches' ? watch.batches() : watch[Symbol.asyncIterator]();
    await h.until(items.return(), 100);
    expect(await h.until(items.next(), 100)).toMatchObject({ done: true });
  }
  await h.clock.advance(10);
  expect(h.cluster.received('watch-cancel')).toHaveLength(2);
});
