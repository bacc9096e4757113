import { packDelta } from '../../src/base/delta-codec.js';
import type { BalsaError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import {
  DeltaQueue,
  type DeltaQueueOptions,
  type HeldDelta,
} from '../../src/storage/delta-queue.js';
import type { Files } from '../../src/storage/files.js';
import { MemoryFiles } from '../../src/storage/memory-files.js';
import { smallDelta } from '../base/delta-helpers.js';
import { ManualWorld } from './manual-world.js';

export const FOLDER = '/data/ap';
export const OTHER = 'aaaaaaaaaaaaaaaa';
export const THIRD = 'bbbbbbbbbbbbbbbb';

export interface OpenedQueue {
  readonly queue: DeltaQueue;
  readonly failures: BalsaError[];
}

/** Segments hold few frames. */
export function openQueue(
  files: Files,
  world: ManualWorld,
  options: Partial<DeltaQueueOptions> = {},
): OpenedQueue {
  const failures: BalsaError[] = [];
  const queue = DeltaQueue.open({
    ...{ folder: FOLDER, files, clock: world, segmentBytes: 5500, random: seededRandom(7) },
    onFailure: (error) => failures.push(error),
    ...options,
  });
  return { queue, failures };
}

export function newDisk(options: Partial<DeltaQueueOptions> = {}): OpenedQueue & {
  readonly world: ManualWorld;
  readonly files: MemoryFiles;
} {
  const world = new ManualWorld();
  const files = new MemoryFiles({ schedule: world.schedule });
  return { world, files, ...openQueue(files, world, options) };
}

/** Not durable before anything: for disks that were found after a crash. */
export function reopened(files: MemoryFiles): DeltaQueue {
  return openQueue(files, new ManualWorld()).queue;
}

export function heldDelta(origin: string, sequence: number, bytes = 0): HeldDelta {
  const delta = smallDelta(origin, sequence, JSON.stringify('r'.repeat(bytes)));
  return { delta, bytes: packDelta(delta) };
}

/** The next one of the origin, as large as that. */
export function appendNext(queue: DeltaQueue, origin = queue.origin, bytes = 0): number {
  return queue.append(heldDelta(origin, queue.lastSequence(origin) + 1, bytes));
}

/** Who and which, in order; own ones without their origin. */
export function idsOf(queue: DeltaQueue): string[] {
  return [...queue.held].map(({ delta: { origin, sequence } }) => idOf(queue, origin, sequence));
}

export function idOf({ origin: own }: DeltaQueue, origin: string, sequence: number): string {
  return origin === own ? `${sequence}` : `${origin[0]}${sequence}`;
}
