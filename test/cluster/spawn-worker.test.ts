import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { spawnWorker } from '../../src/cluster/spawn-worker.js';
import { temporaryFolder } from '../whole/support.js';

test('a worker is told its tasks, its slots, whom to ask, and what else it is to be told', async () => {
  using folder = temporaryFolder();
  const entry = join(folder.path, 'entry.mjs');
  writeFileSync(
    entry,
    'console.log(JSON.stringify([process.argv.slice(2), process.env.NO_COLOR]))',
  );
  const child = spawnWorker({
    ...{ entry, tasks: 'tasks.mjs', slots: 3, endpoints: ['a:1', 'b:2'] },
    ...{ flags: ['--timeout', '2m'], stdio: ['ignore', 'pipe', 'inherit'] },
  });
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await once(child, 'close');
  const args = ['worker', 'tasks.mjs', '--slots', '3', '--endpoints', 'a:1,b:2', '--timeout', '2m'];
  expect(JSON.parse(said)).toEqual([args, '1']);
});
