import {
  makeChunk,
  NO_CHUNKS,
  SNAPSHOT_FORMAT,
  type SnapshotChunk,
  type SnapshotEnd,
  type SnapshotHeader,
  type SnapshotPair,
} from '../../src/base/snapshot-codec.js';
import type { StateStore, StateWrite } from '../../src/statemachine/state-store.js';
import type { StateImport, StateView } from '../../src/storage/snapshot.js';

export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
export const put = (key: string, value: string): StateWrite => ({
  key: bytes(key),
  value: bytes(value),
});

export function headerOf(index: number, id = `snapshot ${index}`): SnapshotHeader {
  return {
    format: SNAPSHOT_FORMAT,
    id,
    clusterName: 'test',
    clusterId: 'c1',
    position: { index, term: 3 },
    configuration: bytes('members'),
    configurationIndex: 2,
    revision: index,
    stateHash: 0xfeed_beef,
    createdMs: 1_790_000_000_000,
  };
}

/** All chunks of these pairs, some pairs each. */
export function chunksOf(
  pairs: readonly SnapshotPair[],
  pairsPerChunk = 2,
): { readonly chunks: SnapshotChunk[]; readonly end: SnapshotEnd } {
  const chunks: SnapshotChunk[] = [];
  let sums = NO_CHUNKS;
  for (let at = 0; at < pairs.length; at += pairsPerChunk) {
    const made = makeChunk(sums, pairs.slice(at, at + pairsPerChunk));
    chunks.push(made.chunk);
    sums = made.sums;
  }
  return { chunks, end: sums };
}

export function pairsOf(prefix: string, count: number): SnapshotPair[] {
  return Array.from({ length: count }, (_, n): SnapshotPair => {
    const number = String(n).padStart(6, '0');
    return [bytes(`${prefix}${number}`), bytes(`value ${number} of ${prefix}`)];
  });
}

export async function fill(target: StateImport, pairs: readonly SnapshotPair[]): Promise<void> {
  const { chunks, end } = chunksOf(pairs);
  for (const chunk of chunks.slice(target.chunks)) await target.write(chunk);
  await target.finish(end);
}

/** All of a view. */
export async function viewed(view: StateView, bytesMax = 1000): Promise<string[]> {
  const found: string[] = [];
  for (let after: Uint8Array | null = null; ; ) {
    const pairs: Awaited<ReturnType<StateView['next']>> = await view.next(after, bytesMax);
    const last = pairs.at(-1);
    if (last === undefined) return found;
    found.push(...texts(pairs));
    after = last[0];
  }
}

/** All of a store. */
export async function contents(store: StateStore): Promise<string[]> {
  const page = await store.scan({ from: bytes(''), to: null, keysMax: 1e6, bytesMax: 1e9 });
  return texts(page.pairs);
}

export function texts(pairs: readonly SnapshotPair[]): string[] {
  return pairs.map(
    ([key, value]) =>
      `${Buffer.from(key).toString('latin1')}=${Buffer.from(value).toString('latin1')}`,
  );
}

/** Waits until all that may go to the disk is there. */
export function flushed(store: StateStore): Promise<void> {
  return new Promise((resolve) => store.whenPendingBelow(0, resolve));
}

export async function applyAll(store: StateStore, index: number, writes: StateWrite[]) {
  store.apply(index, writes);
  store.allowDisk(index);
  await flushed(store);
}
