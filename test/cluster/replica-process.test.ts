import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ReplicaProcess } from '../../src/cluster/replica-process.js';
import { waitUntil } from '../../src/cluster/wait-until.js';

let folder = '';
let running: ReplicaProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-process-'));
  running = [];
});

afterEach(async () => {
  for (const replica of running) if (replica.running) await replica.end('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** A process that stands in for a replica. */
function replica(code: string): ReplicaProcess {
  const entry = join(folder, 'entry.mjs');
  writeFileSync(entry, code);
  const made = new ReplicaProcess({
    name: 'n1',
    address: '127.0.0.1:1',
    dataFolder: join(folder, 'n1'),
    logFile: join(folder, 'n1.log'),
    entry,
    args: [],
    env: process.env,
  });
  running.push(made);
  return made;
}

const said = (process: ReplicaProcess, word: string): Promise<true> =>
  waitUntil(word, async () => (process.tail().includes(word) ? true : undefined));

const STAYS = "console.log('up'); setInterval(() => {}, 1000);";

describe('the process of a replica', () => {
  test('ends with the signal that it is killed with, which is no unexpected end', async () => {
    const process = replica(STAYS);
    process.spawn();
    await said(process, 'up');

    const exit = await process.end('SIGKILL');

    expect(exit).toEqual({ code: null, signal: 'SIGKILL' });
    expect(process.running).toBe(false);
    expect(process.pid).toBeNull();
    expect(process.unexpectedExit).toBeNull();
    expect(() => process.checkAlive()).not.toThrow();
  });

  test('that ends by itself is reported with the last lines that it wrote', async () => {
    const process = replica("console.error('no disk'); process.exitCode = 7;");
    process.spawn();

    await waitUntil('the end', async () => (process.running ? undefined : true));

    expect(process.unexpectedExit).toMatchObject({ name: 'n1', code: 7, logTail: 'no disk' });
    expect(() => process.checkAlive()).toThrow(/n1 ended by itself \(code 7\)[\s\S]*no disk/);
  });

  test('that is expected to end by itself hands over how it did', async () => {
    const process = replica('process.exitCode = 2;');
    process.spawn();

    expect(await process.exit()).toEqual({ code: 2, signal: null });
    expect(process.unexpectedExit).toBeNull();
  });

  test('can be started again, with other arguments; its log goes on, its tail begins anew', async () => {
    const process = replica(`console.log('args', ...process.argv.slice(2)); ${STAYS}`);
    process.spawn();
    await said(process, 'up');
    await process.end('SIGKILL');

    process.spawn({ args: ['--again'], env: { X: '1' } });

    await said(process, 'up');
    expect(process.tail()).toBe('args --again\nup');
  });

  test('that is paused is ended in order all the same', async () => {
    const process = replica(
      `process.on('SIGTERM', () => { console.log('bye'); process.exit(0); }); ${STAYS}`,
    );
    process.spawn();
    await said(process, 'up');
    process.pause();

    const exit = await process.end('SIGTERM');

    expect(exit).toEqual({ code: 0, signal: null });
    expect(process.tail()).toContain('bye');
  });
});
