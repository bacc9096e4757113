import { expect, test } from 'vitest';
import { KNOWN_COMMANDS } from '../../src/base/command-versions.js';
import { StateMachine } from '../../src/statemachine/state-machine.js';
import { batch, put, Replica } from './replica.js';

test('the newest version of commands is remembered, from the first one that has such a memory on', async () => {
  const replica = await Replica.start();
  for (const version of [1, KNOWN_COMMANDS - 1, KNOWN_COMMANDS, 1]) {
    await replica.run({ batches: [batch({ operations: [put('k', `${version}`)] })] }, version);
  }
  const remembered: number[] = [];
  for (let index = 0; index <= replica.machine.appliedIndex; index += 1) {
    const machine = await StateMachine.open(replica.store.reopenedAt(index));
    remembered.push(machine.knownCommandVersion);
  }
  expect(remembered).toEqual([0, 0, 0, KNOWN_COMMANDS, KNOWN_COMMANDS]);
});
