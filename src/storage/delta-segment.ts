import type { Failpoints } from '../base/failpoints.js';
import {
  DELTA_FORMAT_VERSION,
  DELTA_HEADER_BYTES,
  deltaSegmentName,
  encodeDeltaHeader,
} from './delta-format.js';
import type { File, Files } from './files.js';
import { UNFINISHED_SUFFIX } from './wal/segment.js';

/** One file of the queue. */
export class DeltaSegment {
  readonly number: number;
  readonly file: File;
  /** Behind the last frame. */
  end = DELTA_HEADER_BYTES;
  /** Deltas in it that are still held. */
  heldCount = 0;

  constructor(number: number, file: File) {
    this.number = number;
    this.file = file;
  }

  get isEmpty(): boolean {
    return this.end === DELTA_HEADER_BYTES;
  }
}

export interface DeltaSegmentPlan {
  readonly files: Files;
  readonly folder: string;
  readonly failpoints: Failpoints;
  readonly origin: string;
  readonly salt: number;
  readonly segmentBytes: number;
}

/** What the header of a new segment says. */
export interface DeltaSegmentStart {
  readonly number: number;
  readonly ownSequence: number;
  readonly firstFrame: number;
}

export function deltaSegmentPath(folder: string, number: number): string {
  return `${folder}/${deltaSegmentName(number)}`;
}

export function deltaHeaderOf(plan: DeltaSegmentPlan, start: DeltaSegmentStart): Buffer {
  const { origin, salt } = plan;
  return encodeDeltaHeader({ version: DELTA_FORMAT_VERSION, origin, salt, ...start });
}

/**
 * Makes the first segment, and with it the name of the queue, before anyone is served. It has another name until it is whole: a
 * crash leaves nothing, or all of it.
 */
export function createDeltaSegment(plan: DeltaSegmentPlan, start: DeltaSegmentStart): DeltaSegment {
  const { files, folder, failpoints } = plan;
  const path = deltaSegmentPath(folder, start.number);
  files.makeFolder(folder);
  failpoints.hit('deltas.before-segment-create');
  const unfinished = files.open(path + UNFINISHED_SUFFIX);
  try {
    unfinished.writeAt(0, [deltaHeaderOf(plan, start)]);
    unfinished.sync();
  } finally {
    unfinished.close();
  }
  files.rename(path + UNFINISHED_SUFFIX, path);
  files.syncFolder(folder);
  failpoints.hit('deltas.after-segment-create');
  return new DeltaSegment(start.number, files.open(path));
}
