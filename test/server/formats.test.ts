import { expect, test } from 'vitest';
import { ownFormats } from '../../src/server/formats.js';
import { COMMAND_VERSION_MAX } from '../../src/statemachine/command.js';

test('all that this version knows is told, unless less is pretended', () => {
  expect(ownFormats('').command).toBe(COMMAND_VERSION_MAX);
  expect(ownFormats('command=1').command).toBe(1);
  expect(ownFormats('snapshot=1, command=1')).toEqual({ command: 1, snapshot: 1 });
});

test('more than it knows cannot be pretended', () => {
  for (const text of ['command=99', 'command=0', 'command=x', 'command']) {
    expect(ownFormats(text).command).toBe(COMMAND_VERSION_MAX);
  }
});
