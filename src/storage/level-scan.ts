import type { ScanPage, ScanRange, StateWrite } from '../statemachine/state-store.js';
import { ScanPageBuilder } from './scan-page-builder.js';

type Pair = readonly [key: Buffer, value: Buffer];

/** What is on disk, from the start of a range on, in its order. */
export interface DiskCursor {
  /** Up to `count` pairs; empty at the end. */
  nextv(count: number): Promise<readonly Pair[]>;
}

const PAIRS_PER_READ_MAX = 1000;

/** The disk's pairs with the overlay's newer writes over them. */
export async function mergeScan(
  cursor: DiskCursor,
  overlay: readonly StateWrite[],
  range: ScanRange,
): Promise<ScanPage> {
  const page = new ScanPageBuilder(range);
  const direction = range.reverse === true ? -1 : 1;
  let overlayPosition = 0;
  let isDiskAtEnd = false;
  while (!isDiskAtEnd && !page.isFull) {
    const count = Math.min(range.keysMax - page.length + 1, PAIRS_PER_READ_MAX);
    const pairs = await cursor.nextv(Math.max(count, 1));
    isDiskAtEnd = pairs.length === 0;
    for (const [key, value] of pairs) {
      let isReplaced = false;
      for (let write = overlay[overlayPosition]; write !== undefined && !page.isFull; ) {
        const order = Buffer.compare(write.key, key) * direction;
        if (order > 0) break;
        if (write.value !== null) page.add(write.key, write.value);
        isReplaced = order === 0;
        overlayPosition += 1;
        write = overlay[overlayPosition];
      }
      if (page.isFull) break;
      if (!isReplaced) page.add(key, value);
    }
  }
  for (const write of overlay.slice(overlayPosition)) {
    if (page.isFull) break;
    if (write.value !== null) page.add(write.key, write.value);
  }
  return page.build();
}
