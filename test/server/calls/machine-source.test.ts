import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { MachineSource } from '../../../src/server/calls/machine-source.js';
import type { StateMachine } from '../../../src/statemachine/state-machine.js';
import { LaneWorld } from './lane-world.js';

const ALL = { from: Buffer.from('a'), to: null, keysMax: 10, bytesMax: 1000 };

describe('what a call reads', () => {
  test('is the store as of one revision, whatever is written meanwhile', async () => {
    const world = await LaneWorld.start();
    await world.put('a', 1);
    const source = new MachineSource(() => world.replica.machine);
    await world.put('a', 2);
    await world.put('b', 3);

    const found = source.get(Buffer.from('a'));
    expect(Buffer.from(found?.value ?? []).toString()).toBe('1');
    expect(found?.modRevision).toBe(source.revision);
    expect(source.get(Buffer.from('b'))).toBeNull();
    const { items, more } = await source.scan(ALL);
    expect(items).toEqual([found]);
    expect(more).toBe(false);
  });

  test('comes in pages, of which each says whether there is more', async () => {
    const world = await LaneWorld.start();
    for (const key of ['a', 'b', 'c']) await world.put(key, 'x'.repeat(50));
    const source = new MachineSource(() => world.replica.machine);

    const first = await source.scan({ ...ALL, keysMax: 2 });
    expect(first.items.map(({ key }) => Buffer.from(key).toString())).toEqual(['a', 'b']);
    expect(first.more).toBe(true);
    // The first one beyond the bytes is the last one.
    const small = await source.scan({ ...ALL, bytesMax: 60 });
    expect(small.items).toHaveLength(2);
    expect(small.more).toBe(true);
    expect(await source.scan({ ...ALL, from: Buffer.from('d') })).toEqual({
      items: [],
      more: false,
    });
  });

  test('goes on with the state of a snapshot that takes the place of what is being read', async () => {
    const world = await LaneWorld.start();
    await world.put('a', 1);
    const { machine } = world.replica;
    const closed = new BalsaError('SHUTTING_DOWN', 'the state is closed');
    let current = machine;
    const old = {
      revision: machine.revision,
      range: async () => {
        current = machine;
        throw closed;
      },
    } as unknown as StateMachine;
    current = old;
    const source = new MachineSource(() => current);
    const { items } = await source.scan(ALL);
    expect(items).toHaveLength(1);

    current = { ...old, range: async () => Promise.reject(closed) } as unknown as StateMachine;
    await expect(source.scan(ALL)).rejects.toBe(closed);
  });
});
