import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { factsOf, leastLikeness, makeSource } from '../../examples/encode-video/ffmpeg.js';
import { encodeVideo, segmentsOf } from '../../examples/encode-video/video.js';
import { WorkerProcess } from '../../examples/encode-video/worker-process.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { Talker, temporaryFolder } from './support.js';

const ROOT = join(import.meta.dirname, '../..');
const EXAMPLE = join(ROOT, 'examples/encode-video');
const FRAMES_PER_SECOND = 25;
const { signal } = new AbortController();

const lacking = ((): string | null => {
  try {
    const encoders = execFileSync('ffmpeg', ['-hide_banner', '-encoders'], { stdio: 'pipe' });
    execFileSync('ffprobe', ['-version'], { stdio: 'ignore' });
    return encoders.includes('libx264') ? null : 'this ffmpeg has no libx264';
  } catch {
    return 'there is no ffmpeg here: apt-get install ffmpeg';
  }
})();

/** The reason why it is skipped is in its title. */
const testWithFfmpeg = (title: string, body: () => Promise<void>): void =>
  test.skipIf(lacking !== null)(lacking === null ? title : `${title} (${lacking})`, body);

/** The command of the example, with a folder of its own for what is temporary. */
function example(folder: string, args: readonly string[], env: readonly string[] = []): Talker {
  const settings = ['-u', 'XDG_RUNTIME_DIR', `TMPDIR=${folder}`, ...env];
  const command = [process.execPath, '--import', 'tsx', join(EXAMPLE, 'encode.ts'), ...args];
  return new Talker('/usr/bin/env', [...settings, ...command], ROOT);
}

const SMALL = ['--size', '320x180'];

/** Processes that were told of a folder. */
function processesOf(folder: string): string[] {
  const lines = execFileSync('ps', ['-A', '-o', 'args']).toString().split('\n');
  return lines.filter((line) => line.includes(folder) && !line.startsWith('/usr/bin/env'));
}

/** Also those that were killed with what had started them are gone soon. */
async function expectNothingLeft(folder: string, before: readonly string[]): Promise<void> {
  await waitUntil('the end of all processes', async () =>
    processesOf(folder).length === 0 ? true : undefined,
  );
  // What tsx has compiled is its own.
  expect(readdirSync(folder).filter((name) => !name.startsWith('tsx-'))).toEqual([]);
  expect(readdirSync(EXAMPLE)).toEqual(before);
}

describe('examples/encode-video', () => {
  testWithFfmpeg(
    'has each picture, though the only worker is killed in the middle and another joins late',
    async () => {
      using folder = temporaryFolder();
      const source = join(folder.path, 'source.mp4');
      const size = { seconds: 6, size: '320x180', framesPerSecond: FRAMES_PER_SECOND };
      await makeSource({ file: source, ...size }, signal);
      const facts = await factsOf(source, signal);
      expect(facts).toMatchObject({ frames: 150, videoSeconds: 6 });
      const [temporaryOfTasks, tasks] = ['temporary', 'tasks.ts'].map((name) =>
        join(folder.path, name),
      ) as [string, string];
      mkdirSync(temporaryOfTasks);
      copyFileSync(join(EXAMPLE, 'tasks.ts'), tasks);
      await using cluster = await LocalCluster.start({ replicas: 1 });
      await using db = await cluster.connect({ timeoutMs: 60_000 });
      const { endpoints } = cluster;
      const start = (): Promise<WorkerProcess> =>
        WorkerProcess.start({ tasks, endpoints, temporaryFolder: temporaryOfTasks });
      try {
        const first = await start();
        // The last one is shorter.
        const list = segmentsOf(facts.frames, 20);
        expect(list.map(({ frames }) => frames)).toEqual([20, 20, 20, 20, 20, 20, 20, 10]);
        const args = { source, framesPerSecond: FRAMES_PER_SECOND };
        const handle = await db.submit(encodeVideo, args, { input: { list } });
        await first.hasBegun(3);
        await first.kill();
        const killed = await handle.status();
        expect(killed.phase).toBe('running');
        expect(killed.stages[0]?.done).toBeLessThan(list.length);

        const late = await start();
        const [video] = await handle.result<[Buffer]>();
        await late.stop();
        // More than all segments and the joining of them: what was killed in the middle was begun again.
        expect(WorkerProcess.attemptsOf(handle.id)).toBeGreaterThan(list.length + 1);
        const file = join(folder.path, 'video.mp4');
        writeFileSync(file, video);
        const { frames, videoSeconds, audioSeconds } = await factsOf(file, signal);
        expect({ frames, videoSeconds }).toEqual({ frames: 150, videoSeconds: 6 });
        expect(Math.abs(audioSeconds - 6)).toBeLessThan(0.1);
        expect(await leastLikeness(file, source, signal)).toBeGreaterThan(30);
      } finally {
        await WorkerProcess.killAll();
      }
    },
  );

  testWithFfmpeg('does all of it by one command, and leaves nothing behind', async () => {
    using folder = temporaryFolder();
    const before = readdirSync(EXAMPLE);
    await using run = example(folder.path, [...SMALL, '--seconds', '2']);
    await run.says(/load average/, { timeoutMs: 100_000 });
    expect(await run.ends()).toBe(0);
    expect(run.said).toBe(run.stdout);
    const rows = run.stdout.split('\n').filter((row) => / right$/.test(row));
    expect(rows.map((row) => row.slice(0, 28).trim())).toEqual([
      'ffmpeg -threads 1, alone',
      '1 worker',
      '2 workers',
      '2 workers, 1 killed, 1 late',
    ]);
    const figures = rows.map((row) =>
      row
        .slice(28)
        .trim()
        .split(/\s{2,}/),
    );
    for (const [frames, duration] of figures) {
      expect([frames, duration]).toEqual(['50', '2 s']);
    }
    const [, , tasks, attempts] = figures[3] ?? [];
    expect(Number(attempts)).toBeGreaterThan(Number(tasks));
    await expectNothingLeft(folder.path, before);
  });

  testWithFfmpeg('leaves nothing behind when it is interrupted', async () => {
    using folder = temporaryFolder();
    const before = readdirSync(EXAMPLE);
    await using run = example(folder.path, [...SMALL, '--seconds', '4']);
    const encodes = async (): Promise<true | undefined> => {
      if (run.child.exitCode !== null) throw new Error(run.said);
      return processesOf(folder.path).some((line) => /ffmpeg .*mpegts/.test(line)) || undefined;
    };
    // All of it is encoded without workers before, and their cluster starts.
    await waitUntil('a segment that is being encoded', encodes, { timeoutMs: 100_000 });
    run.child.kill('SIGINT');
    expect({ code: await run.ends(), stdout: run.stdout }).toEqual({ code: 130, stdout: '' });
    await expectNothingLeft(folder.path, before);
  });

  test('says how to install ffmpeg where there is none', async () => {
    using folder = temporaryFolder();
    await using run = example(folder.path, [], [`PATH=${folder.path}`]);
    expect(await run.ends()).toBe(1);
    expect(run.stdout).toBe('');
    expect(run.said).toMatch(/^ffmpeg is not in the PATH.*\n.*apt-get install ffmpeg/);
    expect(run.said).not.toMatch(/^\s+at .*:\d+/m);
  });
});
