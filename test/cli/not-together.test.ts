import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../whole/support.js';
import { FakeStore, run } from './fakes.js';

/** What says nothing together is refused, rather than half of it left out. */
test.each([
  [['range', 'user/', '--count-only', '--limit', '5'], '--limit'],
  [['range', 'user/', '--count-only', '--sort-by', 'version', '--limit', '5'], '--limit'],
  [['range', '--count-only', '--reverse'], '--reverse'],
  [['range', '--count-only', '--keys-only'], '--keys-only'],
  [['elect', 'billing', '10.0.0.7:8080', '--listen'], 'VALUE'],
  [['elect', 'billing', '--listen', '--', './billing.sh'], 'command'],
  [['job', 'submit', 'FILE', '--watch', '--result'], '--watch'],
  [['job', 'submit', 'FILE', '--job', 'nightly'], '--job'],
])('balsa %s is wrong usage', async (args, says) => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'job.json');
  writeFileSync(file, JSON.stringify({ input: { list: [1] }, stages: { a: { task: 'x' } } }));
  const store = new FakeStore();
  const result = await run(
    args.map((word) => (word === 'FILE' ? file : word)),
    { store },
  );
  expect(result.stderr).toContain('error INVALID_ARGUMENT');
  expect(result.stderr).toContain(says);
  expect(result).toMatchObject({ exit: 2, stdout: '' });
  expect(store.connections).toEqual([]);
});
