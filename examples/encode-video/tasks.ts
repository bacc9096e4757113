import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * Tasks of `encode.ts`, for workers on machines that have ffmpeg:
 *
 *     balsa worker examples/encode-video/tasks.ts --label ffmpeg
 */

const run = promisify(execFile);

interface Task<Input> {
  readonly input: Input;
  readonly signal: AbortSignal;
}

/** A part of the source: from which second on, and how long. */
export interface Segment {
  readonly source: string;
  readonly fromSeconds: number;
  readonly seconds: number;
}

/** One thread each: how many run at one time is for the slots of workers to say. */
const ENCODE = ['-c:v', 'libx264', '-preset', 'medium', '-threads', '1', '-an'];

/** One segment, encoded: MPEG transport stream, which can be put together as it is. */
export async function encode({ input, signal }: Task<Segment>): Promise<Buffer> {
  return inFolder(async (folder) => {
    const file = join(folder, 'segment.ts');
    const { source, fromSeconds, seconds } = input;
    const part = ['-ss', String(fromSeconds), '-t', String(seconds), '-i', source];
    await ffmpeg([...part, ...ENCODE, '-f', 'mpegts', file], signal);
    return readFile(file);
  });
}

/** All segments in their order, as one file. */
export async function concatenate({ input, signal }: Task<readonly Buffer[]>): Promise<Buffer> {
  return inFolder(async (folder) => {
    const [joined, file] = [join(folder, 'joined.ts'), join(folder, 'video.mp4')];
    await writeFile(joined, Buffer.concat(input));
    await ffmpeg(['-i', joined, '-c', 'copy', file], signal);
    return readFile(file);
  });
}

async function ffmpeg(args: readonly string[], signal: AbortSignal): Promise<void> {
  await run('ffmpeg', ['-nostdin', '-loglevel', 'error', '-y', ...args], { signal });
}

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'encode-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
