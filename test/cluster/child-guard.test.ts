import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../src/cluster/wait-until.js';

let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-guard-'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const GUARD = pathToFileURL(join(import.meta.dirname, '../../src/cluster/child-guard.ts')).href;

/** A process that starts a child in a session of its own, tells its id, and then does `ending`. */
async function parentWithChild(ending: string) {
  const script = join(mkdtempSync(join(folder, 'parent-')), 'parent.mts');
  writeFileSync(
    script,
    `import { spawn } from 'node:child_process';
     import { guardChild } from '${GUARD}';
     const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
     guardChild(child.pid);
     process.stdout.write(String(child.pid), () => { ${ending} });
     setInterval(() => {}, 1000);`,
  );
  const parent = spawn(process.execPath, ['--import', 'tsx', script], {
    cwd: join(import.meta.dirname, '../..'),
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [text] = (await once(parent.stdout, 'data')) as [Buffer];
  return { parent, childPid: Number(text.toString()) };
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const isGone = (pid: number): Promise<true> =>
  waitUntil('the end of the child', async () => (lives(pid) ? undefined : true));

describe.concurrent('no child outlives the process that started it', () => {
  test.each(['SIGKILL', 'SIGINT'] as const)('when that gets %s', async (signal) => {
    const { parent, childPid } = await parentWithChild('');
    expect(lives(childPid)).toBe(true);

    parent.kill(signal);

    await isGone(childPid);
  });

  test.each([
    ['ends in order', 'process.exit(0)'],
    ['throws', "throw new Error('planted')"],
  ])('when that %s', async (_how, ending) => {
    const { childPid } = await parentWithChild(ending);

    await isGone(childPid);
  });
});
