import { existsSync, rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { findEntry } from '../../src/cluster/entry.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { balsa, hasTerminal, lives, Talker, temporaryFolder } from './support.js';

/** Bound of a whole story, on a machine that does much else. */
const STORY = { timeoutMs: 300_000 };
/** The story, and what is done behind it. */
const TERMINAL_MS = 400_000;

const folderIn = (text: string): string => /processes in (\S+):/.exec(text)?.[1] ?? '';

describe('balsa demo', () => {
  test('proves in one run that nothing is lost, and leaves nothing behind', async () => {
    const run = await balsa(['demo', '--no-stay', '-o', 'json', '--seed', '7', '--rounds', '1']);

    expect(run).toMatchObject({ code: 0 });
    const report: unknown = JSON.parse(run.stdout);
    expect(report).toMatchObject({
      verdict: 'passed',
      seed: 7,
      lost: 0,
      duplicated: 0,
      different: 0,
      statesEqual: true,
      findings: [],
      replicas: [{ replica: 'n1' }, { replica: 'n2' }, { replica: 'n3' }],
    });
    expect((report as { acknowledged: number }).acknowledged).toBeGreaterThan(1000);
    expect((report as { failoverMs: number }).failoverMs).toBeGreaterThan(0);
    expect(run.stderr).toContain('PASSED');
    const pids = [...run.stderr.matchAll(/pid (\d+)/g)].map((match) => Number(match[1]));
    expect(pids.length).toBeGreaterThanOrEqual(5);
    expect(pids.filter(lives)).toEqual([]);
    expect(existsSync(folderIn(run.stderr))).toBe(false);
  });

  test.each([
    ['SIGINT', 'removes'],
    ['SIGTERM', 'keeps, where it was told to,'],
  ] as const)(
    'stops its replicas at %s, %s their data and ends with code 130',
    async (signal, does) => {
      const isKept = does !== 'removes';
      using own = temporaryFolder();
      const folder = isKept ? ['--folder', own.path] : [];
      const args = ['demo', '--rounds', '1000', ...folder];
      await using demo = new Talker(process.execPath, [findEntry(), ...args]);
      await demo.says(/Loading/);

      demo.child.kill(signal);

      expect(await demo.ends()).toBe(130);
      expect(demo.pids.filter(lives)).toEqual([]);
      if (isKept) expect(existsSync(`${own.path}/n1/meta.json`)).toBe(true);
      else expect(existsSync(folderIn(demo.said))).toBe(false);
    },
  );

  test('leaves no replica behind when it is killed', async () => {
    await using demo = new Talker(process.execPath, [findEntry(), 'demo', '--rounds', '1000']);
    await demo.says(/Loading/);

    demo.child.kill('SIGKILL');

    await demo.ends();
    await waitUntil('the end of the replicas', async () =>
      demo.pids.some(lives) ? undefined : true,
    );
    // Nobody was left to remove it.
    rmSync(folderIn(demo.said), { recursive: true });
  });
});

describe('balsa demo at a terminal (skipped where there is no command `script`)', () => {
  test.skipIf(!hasTerminal)(
    'stays, obeys single keys, and ends at q',
    async () => {
      const command = `${process.execPath} ${findEntry()} demo --rounds 1`;
      await using demo = new Talker('script', ['-qfec', command, '/dev/null']);
      await demo.says(/Keys: 1-3 kill or restart/, STORY);

      demo.child.stdin.write('2');
      await demo.says(/killed n2/);
      demo.child.stdin.write('l');
      await demo.says(/load: [1-9]\d* puts acknowledged/);
      demo.child.stdin.write('s');
      await demo.says(/n2 is down/);
      demo.child.stdin.write('2');
      await demo.says(/started n2/);
      demo.child.stdin.write('q');

      expect(await demo.ends()).toBe(0);
      expect(demo.said).toMatch(/npx balsa --endpoints \S+ get greeting/);
      expect(demo.said).toMatch(/\d+\/s/);
      expect(demo.pids.filter(lives)).toEqual([]);
    },
    TERMINAL_MS,
  );

  test.skipIf(!hasTerminal)(
    'ends at Ctrl-C',
    async () => {
      const command = `${process.execPath} ${findEntry()} demo --rounds 1`;
      await using demo = new Talker('script', ['-qfec', command, '/dev/null']);
      await demo.says(/Keys: 1-3 kill or restart/, STORY);

      demo.child.stdin.write('\u0003');

      expect(await demo.ends()).toBe(0);
      expect(demo.pids.filter(lives)).toEqual([]);
    },
    TERMINAL_MS,
  );
});
