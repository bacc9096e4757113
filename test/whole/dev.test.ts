import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findEntry } from '../../src/cluster/entry.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { balsa, hasTerminal, lives, Talker, temporaryFolder } from './support.js';

/** `balsa dev`: what its user saves is what is called a moment later. */

/** Bound of a start, on a machine that does much else. */
const START = { timeoutMs: 120_000 };
/** It, and what is done behind it. */
const DEV_MS = 300_000;

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => {
  folder[Symbol.dispose]();
});

const counter = (text: string): string => `import { procedure, read } from 'balsa/procedures';
import { STEP } from './step.js';
export const count = procedure({
  handler: (ctx, { by }: { by: number }) => {
    const now = (ctx.get<number>('counter') ?? 0) + by * STEP;
    ctx.put('counter', now);
    ctx.log(${text}, now);
    return now;
  },
});
export const look = read({ handler: (ctx) => ctx.get<number>('counter') });
`;

function save(name: string, text: string): void {
  writeFileSync(join(folder.path, name), text);
}

const endpointsIn = (text: string): string => /BALSA_ENDPOINTS=([\d.:,]+)/.exec(text)?.[1] ?? '';
const dataIn = (text: string): string => /their data is in ([^\s,]+),/.exec(text)?.[1] ?? '';

function call(endpoints: string, args: readonly string[]) {
  return balsa(['proc', 'call', ...args, '--endpoints', endpoints, '--timeout', '30s']);
}

describe('balsa dev without a terminal', { timeout: DEV_MS }, () => {
  test('deploys what is saved, says what is wrong with it, and leaves nothing behind', async () => {
    save('counter.ts', counter("'counted to'"));
    save('step.ts', 'export const STEP = 1;\n');
    await using dev = new Talker(process.execPath, [findEntry(), 'dev', 'counter.ts'], folder.path);
    await dev.says(/deployed counter\.ts in \S+: new count, look \([0-9a-f]{12}\)\n/, START);
    await dev.says(/watching counter\.ts and step\.ts; Ctrl-C ends it\n/);
    expect(dev.said).toContain('  npx balsa proc call look\n');
    const endpoints = endpointsIn(dev.said);
    const data = dataIn(dev.said);
    expect(endpoints.split(',')).toHaveLength(3);
    expect(existsSync(join(data, 'n1.log'))).toBe(true);

    expect((await call(endpoints, ['count', '{"by":1}'])).stdout).toBe('1\n');
    await dev.says(/\tn[123]\tcount\tlog\tcounted to 1\n/);

    // What it imports is looked at like itself.
    save('step.ts', 'export const STEP = 10;\n');
    await dev.says(/deployed counter\.ts in \S+: changed count, look \(\w{12} → \w{12}\)\n/);
    expect((await call(endpoints, ['count', '{"by":1}'])).stdout).toBe('11\n');

    save('step.ts', "export const STEP: number = 'x';\n");
    await dev.says(/error FILE_INVALID: step\.ts:1:14: Type 'string' .* \(TS2322\)\n/);
    save('step.ts', 'export const STEP = ;\n');
    await dev.says(/error FILE_INVALID: step\.ts:1:21: Unexpected ";"\n/);
    expect((await call(endpoints, ['count', '{"by":1}'])).stdout).toBe('21\n');

    save('step.ts', 'export const STEP = 100;\n');
    save('counter.ts', counter("'now it is'"));
    await waitUntil('the third deployment', async () =>
      dev.said.match(/deployed counter\.ts/g)?.length === 3 ? true : undefined,
    );
    expect((await call(endpoints, ['count', '{"by":1}'])).stdout).toBe('121\n');
    await dev.says(/\tcount\tlog\tnow it is 121\n/);
    expect((await call(endpoints, ['count'])).code).toBe(1);
    await dev.says(/\tcount\terror\tPROCEDURE_FAILED: /);

    dev.child.kill('SIGINT');

    expect(await dev.ends()).toBe(0);
    expect(dev.pids).toHaveLength(3);
    expect(dev.pids.filter(lives)).toEqual([]);
    expect(existsSync(data)).toBe(false);
    // Data only: what was logged.
    const lines = dev.stdout.trimEnd().split('\n');
    expect(lines.filter((line) => !/^\S+Z\tn[123]\tcount\t(?:log|error)\t/.test(line))).toEqual([]);
    expect(dev.said).not.toMatch(/^\s+at .*:\d+/m);
  });

  test('begins with a file that is wrong, and fails for one that is not there', async () => {
    save('counter.ts', 'export const = 1;\n');
    const data = join(folder.path, 'data');
    const args = ['dev', 'counter.ts', '-o', 'json', '--no-typecheck', '--folder', data];
    await using dev = new Talker(process.execPath, [findEntry(), ...args], folder.path);
    await dev.says(/"event":"failed"/, START);

    save('step.ts', "export const STEP: number = '3';\n");
    save('counter.ts', counter("'counted to'"));
    await dev.says(/"event":"deployed"/);
    const events = () =>
      dev.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    const [ready, failed, deployed] = events();
    expect(ready).toMatchObject({ event: 'ready', folder: data, file: 'counter.ts' });
    expect(failed).toMatchObject({
      ...{ event: 'failed', code: 'FILE_INVALID' },
      message: expect.stringContaining('counter.ts:1:14: Expected identifier'),
    });
    expect(deployed).toMatchObject({
      alias: 'prod',
      procedures: [{ name: 'count' }, { name: 'look' }],
    });

    const endpoints = String(ready?.endpoints);
    await call(endpoints, ['count', '{"by":1}']);
    await dev.says(/"event":"log"/);
    expect(events().at(-1)).toMatchObject({ procedure: 'count', line: 'counted to 3' });

    // As when its terminal is closed.
    dev.child.kill('SIGHUP');
    expect(await dev.ends()).toBe(0);
    expect(existsSync(join(data, 'n1', 'meta.json'))).toBe(true);

    const missing = await balsa(['dev', join(folder.path, 'nowhere.ts')]);
    expect(missing).toMatchObject({ code: 2, stdout: '' });
    expect(missing.stderr).toMatch(/^error FILE_UNREADABLE: \S+nowhere\.ts: ENOENT/);
  });
});

describe('balsa dev at a terminal (skipped where there is no command `script`)', {
  timeout: DEV_MS,
}, () => {
  test.skipIf(!hasTerminal)(
    'shows where it is, and what is logged, and ends at Ctrl-C',
    async () => {
      save('counter.ts', counter("'counted to'"));
      save('step.ts', 'export const STEP = 1;\n');
      const data = join(folder.path, 'data');
      // `exec`: some shells stay, and are killed by the Ctrl-C.
      const command = `exec ${process.execPath} ${findEntry()} dev counter.ts --folder ${data} --alias me`;
      const begin = (): Talker =>
        new Talker('script', ['-qfec', command, '/dev/null'], folder.path);

      await using first = begin();
      await first.says(/Ctrl-C ends it/, START);
      expect(first.said).toContain('npx balsa proc call look@me\r\n');
      const args = ['count@me', '{"by":2}'];
      expect((await call(endpointsIn(first.said), args)).stdout).toBe('2\n');
      await first.says(/\d\d:\d\d:\d\d\.\d{3} {2}n[123] {2}count@me {2}counted to 2\r\n/);
      first.child.stdin.write('\u0003');
      expect(await first.ends()).toBe(0);
      expect(first.pids).toHaveLength(3);
      expect(first.pids.filter(lives)).toEqual([]);

      // The next time all is there.
      await using second = begin();
      await second.says(/counter\.ts is what is deployed, [0-9a-f]{12}\r\n/, START);
      await second.says(/Ctrl-C ends it/);
      expect((await call(endpointsIn(second.said), ['look@me'])).stdout).toBe('2\n');
      second.child.stdin.write('\u0003');
      expect(await second.ends()).toBe(0);
      expect(second.pids.filter(lives)).toEqual([]);
    },
  );
});
