import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * Tasks of `video.ts`, for workers on machines that have ffmpeg:
 *
 *     balsa worker examples/encode-video/tasks.ts --label ffmpeg
 */

const run = promisify(execFile);

/** What the job is submitted with. */
export interface Video {
  /** A path that all workers have. */
  readonly source: string;
  readonly framesPerSecond: number;
}

/** A part of the source. */
export interface Segment {
  readonly fromFrame: number;
  readonly frames: number;
}

interface Task<Input> {
  readonly input: Input;
  readonly args: Video;
  readonly signal: AbortSignal;
}

/** One thread each: how many run at one time is for the slots of workers to say. */
export const ONE_THREAD = ['-threads', '1'];
export const VIDEO_ENCODING = ['-c:v', 'libx264', '-preset', 'medium', ...ONE_THREAD];
export const AUDIO_ENCODING = ['-c:a', 'aac', '-b:a', '128k'];

/** With B-frames a time of decoding lies before that of the first frame, and must not be negative. */
const BEGINS_AT_SECONDS = 10;
/** So far before a frame is where it is cut: times are rounded. */
const FRAMES_BEFORE = 0.25;
const RESULT_BYTES_MAX = 2 ** 30;

/** The pictures of one segment, as an MPEG transport stream with its times in the whole: such streams are joined as they are. */
export async function encode({ input, args, signal }: Task<Segment>): Promise<Buffer> {
  const { fromFrame, frames } = input;
  const { source, framesPerSecond } = args;
  const fromSeconds = Math.max(0, fromFrame - FRAMES_BEFORE) / framesPerSecond;
  const beginsAt = BEGINS_AT_SECONDS + fromFrame / framesPerSecond;
  const part = ['-ss', fromSeconds.toFixed(6), ...ONE_THREAD, '-i', source];
  const pictures = ['-map', '0:v:0', '-frames:v', String(frames), ...VIDEO_ENCODING];
  const times = ['-muxpreload', '0', '-muxdelay', '0', '-output_ts_offset', beginsAt.toFixed(6)];
  return ffmpeg([...part, ...pictures, ...times, '-f', 'mpegts', 'pipe:1'], signal);
}

/** All segments in their order and the sound of the source, which has no seams that way, as one file. */
export async function concatenate({
  input,
  args,
  signal,
}: Task<readonly Buffer[]>): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'encode-'));
  try {
    const [pictures, video] = [join(folder, 'pictures.ts'), join(folder, 'video.mp4')];
    await writeFile(pictures, Buffer.concat(input));
    const sources = ['-i', pictures, ...ONE_THREAD, '-i', args.source];
    const streams = ['-map', '0:v:0', '-map', '1:a?', '-c:v', 'copy', ...AUDIO_ENCODING];
    await ffmpeg([...sources, ...streams, video], signal);
    return await readFile(video);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns what it writes to its standard output */
async function ffmpeg(args: readonly string[], signal: AbortSignal): Promise<Buffer> {
  const options = { signal, encoding: 'buffer', maxBuffer: RESULT_BYTES_MAX } as const;
  const { stdout } = await run('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args], options);
  return stdout;
}
