import { expect, test } from 'vitest';
import { memoryHistory } from '../../jepsen-like/history/history-reader.js';
import { compareHeld, type HeldState, heldBy } from '../../jepsen-like/run/held-states.js';
import { contentOf } from '../../jepsen-like/run/store-watch.js';
import type { Client } from '../../src/client/client.js';
import { event } from './histories.js';

interface Held {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
}

const a: Held = { key: 'a', value: '1', modRevision: 1 };
const b: Held = { key: 'b', value: '"x"', modRevision: 2 };

/** All events, with some behind the revision that is compared. */
const events = [event(1, 'a', 1), event(2, 'b', 'x'), event(3, 'c', 1), event(4, 'c', null)];
const later = [event(6, 'a', 9), event(7, 'd', 9)];

function held(replica: string, items: readonly Held[]): Promise<HeldState> {
  const range = async function* () {
    for (const { key, value, modRevision } of items) {
      const rest = { createRevision: 1, version: 1, lease: 0 };
      yield { key, value: Buffer.from(value), modRevision, ...rest };
    }
  };
  const db = { range } as unknown as Client;
  return heldBy(replica, db, { revision: 5, timeoutMs: 1 });
}

async function problems(...replicas: readonly (readonly Held[])[]): Promise<string[]> {
  const states = await Promise.all(replicas.map((items, i) => held(`n${i + 1}`, items)));
  const watch = memoryHistory([...events, ...later], 'watch');
  return compareHeld(states, { watch, revision: 5 });
}

test('replicas that hold the same, as it was watched, hold what they are to', async () => {
  expect(await problems([a, b], [a, b], [a, b])).toEqual([]);
});

test('a key that one replica does not hold, or holds otherwise, is found', async () => {
  const other = { ...b, value: '"y"' };
  expect(await problems([a, b], [a])).toEqual([
    'at revision 5 n1 and n2 hold different states: they differ in "b"',
    'at revision 5 n2 does not hold "b", which was watched',
  ]);
  expect(await problems([a, b], [a, other])).toEqual([
    'at revision 5 n1 and n2 hold different states: they differ in "b"',
    'at revision 5 n2 holds "b" otherwise than it was watched',
  ]);
  const changed = { ...b, modRevision: 3 };
  expect(await problems([a, b], [a, changed])).toEqual([
    'at revision 5 n1 and n2 hold different states: they differ in what belongs to some key',
  ]);
});

test('what all hold otherwise than it was watched is found', async () => {
  expect(await problems([a], [a])).toHaveLength(2);
  const deleted = { key: 'c', value: '1', modRevision: 3 };
  expect(await problems([a, b, deleted])).toEqual([
    'at revision 5 n1 holds "c" otherwise than it was watched',
  ]);
  expect(await problems()).toEqual(['no replica told what it holds']);
});

test('many digits are text, since no number is so large that JSON says it', () => {
  expect(contentOf(Buffer.alloc(400, '1'))).toBe('1'.repeat(400));
  expect(contentOf(Buffer.from('17'))).toBe(17);
});
