import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toMapKey } from '../../../src/base/bytes.js';
import { WatchPage } from '../../../src/server/watch-page.js';
import type { WriteEvent } from '../../../src/statemachine/types.js';
import { FakeSource } from './fake-source.js';

const key = fc.constantFrom('a', 'a\0', 'aa', 'ab', 'b', 'é', 'z');

function eventsOf(revisions: readonly (readonly string[])[]): readonly WriteEvent[] {
  const source = new FakeSource();
  for (const keys of revisions) source.write(Object.fromEntries(keys.map((k) => [k, 'x'])));
  return source.events;
}

describe('a page of events', () => {
  test('gives those of a range, in order, as a look at each of them does, also when some were added', () => {
    const revisions = fc.array(fc.array(key, { minLength: 1, maxLength: 4 }), { maxLength: 12 });
    const cuts = fc.array(fc.nat(20), { maxLength: 3 });
    fc.assert(
      fc.property(revisions, cuts, key, fc.option(key), (all, added, first, end) => {
        const events = eventsOf(all);
        const page = new WatchPage();
        const ends = [0, ...added.toSorted((a, b) => a - b), events.length];
        for (const [i, at] of ends.entries()) page.add(events.slice(ends[i - 1] ?? 0, at));

        const from = toMapKey(Buffer.from(first));
        const to = end === null ? null : toMapKey(Buffer.from(end));
        const expected = events.filter((event) => {
          const at = toMapKey(event.key);
          return at >= from && (to === null || at < to);
        });
        expect(page.of({ from, to })).toEqual(expected);
      }),
    );
  });
});
