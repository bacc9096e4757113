import { job } from 'balsa/procedures';

/**
 * Encodes a video in segments, at all workers that have ffmpeg, and joins them. The source lies where all of them find it.
 *
 *     balsa worker examples/encode-video/tasks.ts --label ffmpeg      on each machine, any number of them
 *
 * From a program: `db.submit(encodeVideo, null, { input: { list: segmentsOf(source, seconds, 5) } })`.
 */
export const encodeVideo = job({
  name: 'encode-video',
  stages: {
    encode: { task: 'encode', labels: ['ffmpeg'], retries: 2 },
    join: { kind: 'combine', task: 'concatenate', fanIn: 10_000, labels: ['ffmpeg'] },
  },
});

export interface Segment {
  readonly source: string;
  readonly fromSeconds: number;
  readonly seconds: number;
}

export function segmentsOf(source: string, seconds: number, perSegment: number): Segment[] {
  return Array.from({ length: Math.ceil(seconds / perSegment) }, (_, i) => ({
    ...{ source, fromSeconds: i * perSegment },
    seconds: Math.min(perSegment, seconds - i * perSegment),
  }));
}
