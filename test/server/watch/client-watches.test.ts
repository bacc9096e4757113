import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { LIMITS } from '../../../src/base/limits.js';
import type { ClientAnswer, WatchRequest } from '../../../src/rpc/protocol.js';
import { ClientWatches } from '../../../src/server/client-watches.js';
import type { Replica } from '../../../src/server/replica.js';
import { HubWorld, request, describe as say } from './hub-world.js';

/** The watches of one stream, at a replica whose reads are answered when the test says so. */
function stream(limits: Partial<typeof LIMITS> = {}) {
  const world = new HubWorld();
  const answers: ClientAnswer[] = [];
  const reads: ((error: BalsaError | null) => void)[] = [];
  const replica = {
    watches: world.hub,
    machine: world.source,
    meta: () => ({ term: 1, revision: world.source.revision, appliedIndex: 1 }),
    read: (_level: unknown, done: (error: BalsaError | null) => void) => void reads.push(done),
  } as unknown as Replica;
  const watches = new ClientWatches({
    limits: { ...LIMITS, ...limits },
    answer: (answer) => void answers.push(answer),
    waitingBytes: () => 0,
  });
  const begin = (change: Partial<WatchRequest> = {}): void =>
    watches.begin(replica, request(change));
  const readable = (error: BalsaError | null = null): void => {
    for (const done of reads.splice(0)) done(error);
  };
  return { world, watches, begin, readable, told: () => answers.flatMap(say) };
}

function codeOf(act: () => void): string {
  try {
    act();
  } catch (error) {
    if (error instanceof BalsaError) return error.code;
  }
  return 'none';
}

describe('the watches of a stream', () => {
  test('begin when the state is as fresh as was asked, behind all that it holds', () => {
    const { world, begin, readable, told } = stream();
    begin();
    world.turn({ a: 'before the read was answered' });
    readable();
    world.turn({ a: 'behind it' });
    expect(told()).toEqual(['watch-created', '2 put a=behind it']);
  });

  test('are refused with the error of the read', () => {
    const { world, begin, readable, told } = stream();
    begin();
    readable(new BalsaError('NOT_LEADER', 'nobody leads'));
    expect(told()).toEqual(['error NOT_LEADER']);
    expect(world.hub.size).toBe(0);
  });

  test('that were cancelled, or whose stream was closed, while they waited never begin', () => {
    const { world, watches, begin, readable, told } = stream();
    begin({ id: 1 });
    begin({ id: 2 });
    watches.cancel(1);
    watches.cancelAll();
    readable();
    expect(told()).toEqual([]);
    expect(world.hub.size).toBe(0);
  });

  test('end with their stream, and with their cancellation', () => {
    const { world, watches, begin, readable } = stream();
    for (let id = 1; id <= 3; id += 1) begin({ id });
    readable();
    expect(world.hub.size).toBe(3);
    watches.cancel(2);
    expect(world.hub.size).toBe(2);
    watches.cancelAll();
    expect(world.hub.size).toBe(0);
  });

  test('are only so many, and each has an id of its own', () => {
    const { watches, begin } = stream({ watchesPerStreamMax: 2 } as unknown as typeof LIMITS);
    begin({ id: 1 });
    expect(codeOf(() => begin({ id: 1 }))).toBe('FRAME_INVALID');
    begin({ id: 2 });
    expect(codeOf(() => begin({ id: 3 }))).toBe('OVERLOADED');
    watches.cancel(1);
    expect(codeOf(() => begin({ id: 3 }))).toBe('none');
  });

  test.each([
    [{ from: Buffer.from('b'), to: Buffer.from('b') }, 'INVALID_ARGUMENT'],
    [{ from: Buffer.from('c'), to: Buffer.from('b') }, 'INVALID_ARGUMENT'],
    [{ from: Buffer.alloc(LIMITS.keyBytesMax + 1) }, 'KEY_TOO_LARGE'],
    [{ to: Buffer.alloc(LIMITS.keyBytesMax + 2, 0xff) }, 'KEY_TOO_LARGE'],
    [{ startRevision: 0 }, 'INVALID_ARGUMENT'],
  ])('of a range that is none are refused (%#)', (change, code) => {
    const { begin } = stream();
    expect(codeOf(() => begin(change))).toBe(code);
  });
});
