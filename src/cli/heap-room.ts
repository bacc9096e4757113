import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';

const MiB = 1024 * 1024;

/** What may come into being before all of the heap is looked through again, where the heap is a small one. */
const ROOM_BYTES = 128 * MiB;

/** A heap of this size or a larger one has room enough by the measure of V8. */
const SMALL_HEAP_BYTES = 64 * MiB;

const PERCENT_MAX = 400;

/**
 * V8 looks through its whole heap when that, and what its buffers take beside it, has grown by a part of the heap. The heap of a replica
 * is small, and frames and values are buffers, so that puts of 64 KiB made it do so eight times a second, which took half of the
 * processor time (docs/performance.md). A small heap has more room from now on.
 */
export function giveHeapRoom(): void {
  let percent = 0;
  const look = (): void => {
    const wanted = growingPercent(getHeapStatistics().used_heap_size);
    if (wanted === percent) return;
    percent = wanted;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  };
  look();
  new PerformanceObserver(look).observe({ entryTypes: ['gc'] });
}

/** By how much of its size a heap may grow, in percent; 0: as V8 finds right. */
export function growingPercent(heapBytes: number): number {
  if (heapBytes >= SMALL_HEAP_BYTES) return 0;
  // In steps: it is not set anew each time.
  return Math.min(PERCENT_MAX, 50 * Math.floor((2 * ROOM_BYTES) / heapBytes));
}
