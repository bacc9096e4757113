import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { documentsWith, README_PATH, RESULTS_PATH } from './documents.js';
import { readResults } from './results.js';

/**
 * `npm run guarantees`: parts real replicas, and makes the tables of the README and of docs/guarantees.md from
 * what they did. `-- --tables`: only makes the tables anew from the results of the last run.
 */

const root = join(README_PATH, '..');

function run(): number {
  if (!process.argv.includes('--tables')) {
    const { status } = spawnSync('npx', ['vitest', 'run', 'test/whole/guarantees.test.ts'], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, GUARANTEES_RESULTS: RESULTS_PATH },
    });
    if (status !== 0) {
      console.error('the replicas did not do what test/guarantees/rows.ts says; no table was made');
      return 1;
    }
  }
  for (const [path, text] of documentsWith(readResults(RESULTS_PATH))) {
    writeFileSync(path, text);
    console.log(`made the tables of ${path}`);
  }
  return 0;
}

process.exitCode = run();
