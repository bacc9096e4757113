import { createHash } from 'node:crypto';
import type { Client } from '../../src/client/client.js';
import { hashValue, WatchIndex } from '../checkers/watch-index.js';
import type { HistoryReader } from '../history/history-reader.js';
import { contentOf } from './store-watch.js';

/** All that a replica holds at a revision. */
export interface HeldState {
  readonly replica: string;
  /** Of each key: of its value, as the watch of the store has it. */
  readonly values: ReadonlyMap<string, number>;
  /** Of all keys with all that belongs to them. */
  readonly hash: string;
}

/** Reads every key, cells among them, at this replica itself. */
export async function heldBy(
  replica: string,
  db: Pick<Client, 'range'>,
  { revision, timeoutMs }: { readonly revision: number; readonly timeoutMs: number },
): Promise<HeldState> {
  const values = new Map<string, number>();
  const hash = createHash('sha256');
  for await (const item of db.range({ consistency: { at: revision }, timeoutMs })) {
    const { key, value, modRevision, createRevision, version, lease } = item;
    values.set(key, hashValue(contentOf(value)));
    const facts = [key, modRevision, createRevision, version, lease, value.byteLength];
    hash.update(`${JSON.stringify(facts)}\n`).update(value);
  }
  return { replica, values, hash: hash.digest('hex') };
}

/**
 * Replicas hold the same, key by key, and what the watch of the store has told.
 * @returns what is wrong
 */
export async function compareHeld(
  states: readonly HeldState[],
  { watch, revision }: { readonly watch: HistoryReader; readonly revision: number },
): Promise<string[]> {
  const [first, ...others] = states;
  if (first === undefined) return ['no replica told what it holds'];
  const problems = others
    .filter(({ hash }) => hash !== first.hash)
    .map((other) => `at revision ${revision} ${difference(first, other)}`);
  const index = await WatchIndex.load(watch);
  for (const state of states) {
    const wrong = untold(state, index, revision);
    if (wrong !== null) problems.push(`at revision ${revision} ${state.replica} ${wrong}`);
  }
  return problems;
}

function difference(one: HeldState, other: HeldState): string {
  const names = new Set([...one.values.keys(), ...other.values.keys()]);
  const key = [...names].find((name) => one.values.get(name) !== other.values.get(name));
  const what = key === undefined ? 'what belongs to some key' : `"${key}"`;
  return `${one.replica} and ${other.replica} hold different states: they differ in ${what}`;
}

/** @returns what the watch has told otherwise; `null`: nothing */
function untold({ values }: HeldState, index: WatchIndex, revision: number): string | null {
  for (const [key, hash] of values) {
    if (index.hashAt(key, revision) !== hash) return `holds "${key}" otherwise than it was watched`;
  }
  for (const key of index.keys()) {
    const isThere = index.hashAt(key, revision) !== hashValue(null);
    if (isThere && !values.has(key)) return `does not hold "${key}", which was watched`;
  }
  return null;
}
