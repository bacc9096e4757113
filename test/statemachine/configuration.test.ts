import { describe, expect, test } from 'vitest';
import { StateMachine } from '../../src/statemachine/state-machine.js';
import { bytes, put, Replica } from './replica.js';

describe('the configuration of the members in the state', () => {
  test('is none before the first entry that holds one', async () => {
    const replica = await Replica.start();
    replica.entry('noop');

    expect(replica.machine.configuration).toBeNull();
  });

  test('is the last one applied, with the index of its entry', async () => {
    const replica = await Replica.start();
    replica.entry('configuration', bytes('n1 n2 n3'));
    replica.write(put('k', 'v'));
    replica.entry('configuration', bytes('n1 n2 n4'));
    replica.write(put('k', 'w'));

    expect(replica.machine.configuration?.index).toBe(3);
    expect(replica.machine.configuration?.payload).toEqual(bytes('n1 n2 n4'));
  });

  test('comes back after a crash, as of the entry that is on disk', async () => {
    const replica = await Replica.start();
    replica.entry('configuration', bytes('first'));
    replica.write(put('k', 'v'));
    replica.entry('configuration', bytes('second'));
    for (const [index, expected] of [
      [0, null],
      [1, 'first'],
      [2, 'first'],
      [3, 'second'],
    ] as const) {
      const machine = await StateMachine.open(replica.store.reopenedAt(index));
      const found = machine.configuration;
      expect(found === null ? null : Buffer.from(found.payload).toString()).toBe(expected);
    }
  });

  test('counts in the state hash', async () => {
    const hashes = new Set<number>();
    for (const members of ['n1 n2 n3', 'n1 n2 n4', null]) {
      const replica = await Replica.start();
      if (members === null) replica.entry('noop');
      else replica.entry('configuration', bytes(members));
      hashes.add(replica.machine.stateHash);
    }

    expect(hashes.size).toBe(3);
  });

  test('does not change with the message that it came in', async () => {
    const replica = await Replica.start();
    const message = Buffer.from('n1 n2 n3');
    replica.entry('configuration', message);
    message.fill(0);

    expect(replica.machine.configuration?.payload).toEqual(bytes('n1 n2 n3'));
  });
});
