import { job } from 'balsa/procedures';
import type { Segment } from './tasks.js';

/**
 * Encodes a video in segments, at all workers that have ffmpeg, and joins them. The source lies where all of them find it.
 *
 *     balsa worker examples/encode-video/tasks.ts --label ffmpeg      on each machine, any number of them
 *
 * From a program: `db.submit(encodeVideo, { source, framesPerSecond }, { input: { list: segmentsOf(frames, 250) } })`.
 * `encode.ts` does all of it on one machine.
 */
export const encodeVideo = job({
  name: 'encode-video',
  stages: {
    encode: { task: 'encode', labels: ['ffmpeg'], retries: 2 },
    join: { kind: 'combine', task: 'concatenate', fanIn: 10_000, labels: ['ffmpeg'] },
  },
});

export function segmentsOf(frames: number, framesPerSegment: number): Segment[] {
  return Array.from({ length: Math.ceil(frames / framesPerSegment) }, (_, i) => {
    const fromFrame = i * framesPerSegment;
    return { fromFrame, frames: Math.min(framesPerSegment, frames - fromFrame) };
  });
}
