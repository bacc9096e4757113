import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** What `encode.ts` asks of ffmpeg and ffprobe beside the tasks: a source, and what a video is. */

const run = promisify(execFile);

/** Something that the user can put right: told without a stack. */
export class Problem extends Error {}

export interface SourceOptions {
  readonly file: string;
  readonly seconds: number;
  /** `1280x720` */
  readonly size: string;
  readonly framesPerSecond: number;
}

export interface Facts {
  /** As decoded, not as the file says. */
  readonly frames: number;
  readonly videoSeconds: number;
  readonly audioSeconds: number;
}

const INSTALL = `  Debian, Ubuntu   sudo apt-get install ffmpeg
  Fedora           sudo dnf install ffmpeg        (of RPM Fusion, for libx264)
  macOS            brew install ffmpeg
  others           https://ffmpeg.org/download.html`;

/** @throws Problem they are not there, or cannot do what is needed */
export async function checkTools(signal: AbortSignal): Promise<void> {
  const { stdout } = await tool('ffmpeg', ['-hide_banner', '-encoders'], signal);
  await tool('ffprobe', ['-version'], signal);
  if (!stdout.includes('libx264')) {
    throw new Problem(`this ffmpeg is built without libx264; one that has it:\n${INSTALL}`);
  }
}

/** @throws Problem it is not there, or has failed; `AbortError` */
export async function tool(
  name: 'ffmpeg' | 'ffprobe',
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  try {
    return await run(name, args, { signal, maxBuffer: 2 ** 26 });
  } catch (cause) {
    const { code, stderr = '' } = cause as { code?: unknown; stderr?: string };
    if (signal.aborted) throw cause;
    if (code === 'ENOENT') {
      throw new Problem(`${name} is not in the PATH; this example needs it:\n${INSTALL}`);
    }
    throw new Problem(`${name} ${args.join(' ')}: ended with ${code}\n${stderr}`, { cause });
  }
}

/** Pictures of which no two are the same, and a tone. */
export async function makeSource(options: SourceOptions, signal: AbortSignal): Promise<void> {
  const { file, seconds, size, framesPerSecond } = options;
  const pictures = `testsrc2=size=${size}:rate=${framesPerSecond}:duration=${seconds}`;
  const sound = `sine=frequency=440:sample_rate=48000:duration=${seconds}`;
  const inputs = ['-f', 'lavfi', '-i', pictures, '-f', 'lavfi', '-i', sound];
  const video = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '10', '-pix_fmt', 'yuv420p'];
  const args = ['-nostdin', '-v', 'error', '-y', ...inputs, ...video, '-c:a', 'aac', file];
  await tool('ffmpeg', args, signal);
}

export async function factsOf(file: string, signal: AbortSignal): Promise<Facts> {
  const shown = 'stream=codec_type,nb_read_frames,duration';
  const { stdout } = await tool(
    'ffprobe',
    ['-v', 'error', '-count_frames', '-show_entries', shown, '-of', 'json', file],
    signal,
  );
  const { streams } = JSON.parse(stdout) as {
    streams: { codec_type: string; nb_read_frames: string; duration: string }[];
  };
  const video = streams.find((stream) => stream.codec_type === 'video');
  const audio = streams.find((stream) => stream.codec_type === 'audio');
  return {
    frames: Number(video?.nb_read_frames),
    videoSeconds: Number(video?.duration),
    audioSeconds: Number(audio?.duration),
  };
}

/**
 * Of the picture that is least like the one of the source at its place: the ratio of signal to noise (PSNR), in decibels. One that
 * is at a wrong place has less than 30.
 */
export async function leastLikeness(
  file: string,
  source: string,
  signal: AbortSignal,
): Promise<number> {
  const inputs = ['-nostdin', '-hide_banner', '-i', file, '-i', source];
  const compared = ['-lavfi', '[0:v][1:v]psnr', '-an', '-f', 'null', '-'];
  const { stderr } = await tool('ffmpeg', [...inputs, ...compared], signal);
  const [, min = ''] = /PSNR .* min:(\S+)/.exec(stderr) ?? [];
  return min === 'inf' ? Number.POSITIVE_INFINITY : Number.parseFloat(min);
}
