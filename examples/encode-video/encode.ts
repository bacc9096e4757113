import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BalsaError, type Client } from 'balsa';
import { LocalCluster } from 'balsa/testing';
import {
  checkTools,
  type Facts,
  factsOf,
  leastLikeness,
  makeSource,
  Problem,
  tool,
} from './ffmpeg.js';
import { AUDIO_ENCODING, ONE_THREAD, VIDEO_ENCODING } from './tasks.js';
import { encodeVideo, segmentsOf } from './video.js';
import { WorkerProcess } from './worker-process.js';

/**
 * A video, encoded by workers that may come and go:
 *
 *     npx tsx examples/encode-video/encode.ts [--seconds 24] [--size 1280x720] [--output video.mp4]
 *
 * It starts a cluster of three replicas, makes a source, and encodes that four times: by ffmpeg alone, by one worker, by two, and by two of
 * which one is killed in the middle while another joins. Each result is compared with the source, picture by picture.
 */

const FRAMES_PER_SECOND = 25;
const SEGMENTS = 8;
/** In decibels: see `leastLikeness`. */
const LIKENESS_MIN = 30;
const AUDIO_SECONDS_APART_MAX = 0.1;
const INTERRUPTED = 130;
const TASKS = 'tasks.ts';
const TEMPORARY = 'temporary';

interface Settings {
  readonly seconds: number;
  readonly size: string;
  readonly output: string | undefined;
}

interface Scene {
  readonly db: Client;
  readonly endpoints: readonly string[];
  readonly folder: string;
  readonly source: string;
  readonly facts: Facts;
  readonly signal: AbortSignal;
}

interface Way {
  readonly name: string;
  readonly seconds: number;
  readonly file: string;
  readonly tasks: number;
  readonly attempts: number;
}

const OPTIONS = {
  seconds: { type: 'string', default: '24' },
  size: { type: 'string', default: '1280x720' },
  output: { type: 'string' },
} as const;

function parseFlags() {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (cause) {
    throw new Problem((cause as Error).message, { cause });
  }
}

function readSettings(): Settings {
  const values = parseFlags();
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 3600) {
    throw new Problem(`--seconds ${values.seconds}: it must be a whole number from 1 to 3600`);
  }
  if (!/^\d*[02468]x\d*[02468]$/.test(values.size)) {
    throw new Problem(`--size ${values.size}: it must be two even numbers, like 1280x720`);
  }
  return { seconds, size: values.size, output: values.output };
}

/** One line on a terminal, in place of the one before. */
function show(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text}`);
}

async function encodeAlone({ folder, source, signal }: Scene): Promise<Way> {
  show('ffmpeg alone');
  const file = join(folder, 'alone.mp4');
  const args = [...ONE_THREAD, '-i', source, ...VIDEO_ENCODING, ...AUDIO_ENCODING, file];
  const beganMs = performance.now();
  await tool('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args], signal);
  const seconds = (performance.now() - beganMs) / 1000;
  return { name: 'ffmpeg -threads 1, alone', seconds, file, tasks: 0, attempts: 0 };
}

async function encodeWith(scene: Scene, name: string): Promise<Way> {
  const { db, folder, source, facts, signal } = scene;
  const list = segmentsOf(facts.frames, Math.ceil(facts.frames / SEGMENTS));
  const args = { source, framesPerSecond: FRAMES_PER_SECOND };
  const beganMs = performance.now();
  const job = await db.submit(encodeVideo, args, { input: { list } });
  for await (const { stages } of job.progress({ signal })) {
    show(
      `${name}: ${stages.map((stage) => `${stage.name} ${stage.done}/${stage.tasks}`).join(', ')}`,
    );
  }
  const [video] = await job.result<[Buffer]>({ signal });
  const seconds = (performance.now() - beganMs) / 1000;
  const file = join(folder, `${job.id}.mp4`);
  writeFileSync(file, video);
  const { stages } = await job.status();
  const tasks = stages.reduce((sum, stage) => sum + stage.tasks, 0);
  const attempts = WorkerProcess.attemptsOf(job.id);
  await job.remove();
  return { name, seconds, file, tasks, attempts };
}

function startWorker({ folder, endpoints }: Scene): Promise<WorkerProcess> {
  const temporaryFolder = join(folder, TEMPORARY);
  return WorkerProcess.start({ tasks: join(folder, TASKS), endpoints, temporaryFolder });
}

async function encodeByWorkers(scene: Scene): Promise<Way[]> {
  const first = await startWorker(scene);
  const byOne = await encodeWith(scene, '1 worker');
  const second = await startWorker(scene);
  const byTwo = await encodeWith(scene, '2 workers');
  const disturbed = disturb(scene, second, second.begun + 2);
  // Reported when it is waited for.
  disturbed.catch(() => {});
  const late = await encodeWith(scene, '2 workers, 1 killed, 1 late');
  if (!second.hasEnded) throw new Problem('the job was done before a worker was killed: --seconds');
  await Promise.all([first.stop(), (await disturbed).stop()]);
  return [byOne, byTwo, late];
}

/** Kills a worker in the middle of the last one of so many tasks. @returns another worker, which takes its place */
async function disturb(scene: Scene, victim: WorkerProcess, tasks: number): Promise<WorkerProcess> {
  await victim.hasBegun(tasks);
  await victim.kill();
  return startWorker(scene);
}

/** @returns what is wrong with it */
async function faultsOf(found: Facts, { file }: Way, scene: Scene): Promise<string[]> {
  const { source, facts, signal } = scene;
  const likeness = await leastLikeness(file, source, signal);
  const apart = (key: 'videoSeconds' | 'audioSeconds'): number => Math.abs(found[key] - facts[key]);
  const faults: string[] = [];
  if (found.frames !== facts.frames) faults.push(`not ${facts.frames} frames`);
  if (!(apart('videoSeconds') <= 0.5 / FRAMES_PER_SECOND)) faults.push('another duration');
  if (!(apart('audioSeconds') <= AUDIO_SECONDS_APART_MAX)) {
    faults.push(`sound for ${found.audioSeconds} s`);
  }
  if (!(likeness >= LIKENESS_MIN)) faults.push(`a picture that is another one (${likeness} dB)`);
  return faults;
}

const TITLES = ['frames', 'duration', 'tasks', 'attempts', 'time', 'ratio'];
const NAME_COLUMNS = 28;

function line(name: string, figures: readonly string[], verdict: string): string {
  return `${name.padEnd(NAME_COLUMNS)}${figures.map((text) => text.padStart(10)).join('')}   ${verdict}`;
}

/** @returns whether all of them are right */
async function report(ways: readonly Way[], scene: Scene): Promise<boolean> {
  const aloneSeconds = ways[0]?.seconds ?? Number.NaN;
  const { frames, videoSeconds } = scene.facts;
  const lines = [line('', TITLES, ''), line('source', [`${frames}`, `${videoSeconds} s`], '')];
  let isRight = true;
  for (const [i, way] of ways.entries()) {
    show(`looking at each picture, ${i + 1} of ${ways.length}`);
    const found = await factsOf(way.file, scene.signal);
    const faults = await faultsOf(found, way, scene);
    if (faults.length > 0) isRight = false;
    const ratio = (way.seconds / aloneSeconds).toFixed(2);
    const counts = way.tasks === 0 ? ['', ''] : [`${way.tasks}`, `${way.attempts}`];
    const done = [`${found.frames}`, `${found.videoSeconds} s`, ...counts];
    const figures = [...done, `${way.seconds.toFixed(2)} s`, ratio];
    const verdict = faults.length === 0 ? 'right' : `WRONG: ${faults.join('; ')}`;
    lines.push(line(way.name, figures, verdict));
  }
  show('');
  console.log(lines.map((text) => text.trimEnd()).join('\n'));
  return isRight;
}

async function encodeAll(
  settings: Settings,
  folder: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { seconds, size, output } = settings;
  show('making the source');
  const source = join(folder, 'source.mp4');
  await makeSource({ file: source, seconds, size, framesPerSecond: FRAMES_PER_SECOND }, signal);
  const facts = await factsOf(source, signal);
  show('starting a cluster');
  await using cluster = await LocalCluster.start();
  await using db = await cluster.connect({ timeoutMs: 60_000 });
  try {
    const scene = { db, endpoints: cluster.endpoints, folder, source, facts, signal };
    const load = loadavg()[0]?.toFixed(1);
    const alone = await encodeAlone(scene);
    const ways = [alone, ...(await encodeByWorkers(scene))];
    const isRight = await report(ways, scene);
    console.log(`${size}; ${availableParallelism()} cores, load average before: ${load}`);
    if (output !== undefined) copyFileSync(ways.at(-1)?.file ?? '', output);
    return isRight;
  } finally {
    await WorkerProcess.killAll();
  }
}

async function main(): Promise<number> {
  const interruption = new AbortController();
  const { signal } = interruption;
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interruption.abort());
  let folder: string | null = null;
  try {
    const settings = readSettings();
    await checkTools(signal);
    folder = mkdtempSync(join(tmpdir(), 'encode-video-'));
    mkdirSync(join(folder, TEMPORARY));
    // What a worker makes of its module lies beside it until the worker ends.
    copyFileSync(join(import.meta.dirname, TASKS), join(folder, TASKS));
    return (await encodeAll(settings, folder, signal)) ? 0 : 1;
  } catch (error) {
    show('');
    if (signal.aborted) return INTERRUPTED;
    if (!(error instanceof Problem || error instanceof BalsaError)) throw error;
    console.error(error instanceof BalsaError ? `${error.code}: ${error.message}` : error.message);
    return 1;
  } finally {
    // Processes that are just being killed may still write there.
    if (folder !== null) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

process.exitCode = await main();
