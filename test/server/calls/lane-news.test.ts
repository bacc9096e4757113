import { expect, test } from 'vitest';
import { LaneNews } from '../../../src/server/calls/lane-news.js';
import type { StateMachine } from '../../../src/statemachine/state-machine.js';
import type { WriteEvent, WritesListener } from '../../../src/statemachine/types.js';

/** What follows a state whose writes are told by the test. */
function given() {
  let listener: WritesListener | null = null;
  const machine = {
    observeWrites: (observer: WritesListener | null): void => {
      listener = observer;
    },
  };
  const news = new LaneNews();
  news.follow(machine as StateMachine);
  const write = (key: Uint8Array, revision: number): void =>
    listener?.([{ type: 'put', key, revision } as WriteEvent]);
  const changed = (): string[] | null =>
    news.take().changed?.map((key) => Buffer.from(key).toString('hex')) ?? null;
  return { news, write, changed };
}

test('keys that others have written are told, whatever bytes they are, and nothing is kept that they lie in', () => {
  const { news, write } = given();
  const entry = Buffer.alloc(1024 * 1024, 0xe9);
  write(entry.subarray(5, 8), 1);
  const { changed } = news.take();
  expect(changed).toEqual([Buffer.from([0xe9, 0xe9, 0xe9])]);
  expect(changed?.[0]?.buffer).not.toBe(entry.buffer);
});

test('what the calls of the group have written themselves is no news, unless another one wrote it later', () => {
  const { news, write, changed } = given();
  const [own, mine, other] = ['aa', 'bb', 'cc'].map((hex) => Buffer.from(hex, 'hex')) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  write(own, 5);
  write(mine, 6);
  write(other, 4);
  write(mine, 7);
  news.ended([5, 6], () => [own]);
  expect(changed()).toEqual(['bb', 'cc']);
  expect(changed()).toEqual([]);
});

test('beyond ten thousand keys any may have changed, until it was told', () => {
  const { write, changed } = given();
  for (let n = 0; n <= 10_000; n += 1) write(Buffer.from(`${n}`), n);
  expect(changed()).toBe(null);
  expect(changed()).toEqual([]);
});
