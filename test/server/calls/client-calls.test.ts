import { expect, test } from 'vitest';
import { LIMITS } from '../../../src/base/limits.js';
import { ClientCalls } from '../../../src/server/client-calls.js';
import type { Replica } from '../../../src/server/replica.js';

test('a call that waits for a state, in which its procedure is an ap one, is made as such', () => {
  let mode: string | null = null;
  let goOn: (error: null) => void = () => {};
  const made: string[] = [];
  const replica = {
    node: { role: 'follower' },
    meta: () => ({}),
    read: (_level: unknown, done: typeof goOn) => {
      goOn = done;
    },
    calls: {
      resolve: () => (mode === null ? null : { mode }),
      callAp: async () => void made.push('ap'),
      read: async () => void made.push('read'),
    },
  } as unknown as Replica;
  const calls = new ClientCalls({
    ...{ clock: { monotonicMs: () => 0 }, limits: LIMITS },
    ...{ answer: () => {}, refuse: () => {} },
  });
  const ask = (): void =>
    calls.request(replica, {
      ...{ type: 'call', id: 1, route: 'read', procedure: 'p', args: '1', key: Buffer.alloc(16) },
      ...{ isNamed: false, bornIndex: 0, peers: 0, age: null, consistency: 'ap-local', bound: 0 },
    });

  ask();
  mode = 'ap';
  goOn(null);
  mode = 'read';
  ask();
  goOn(null);
  expect(made).toEqual(['ap', 'read']);
});
