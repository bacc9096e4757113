import type { Call } from '../calls.js';
import type { WatchIndex } from '../watch-index.js';

/** A write whose caller was not told its outcome. */
export interface UnknownWrite {
  readonly call: Call;
  readonly writes: ReadonlyMap<string, number>;
  /** What it must have found, if it happened: of a compare-and-set. */
  readonly reads: readonly (readonly [key: string, hash: number])[];
  /** If it happened, then at a later revision than this one. */
  readonly after: number;
}

/** What is left of the watch when all that was acknowledged is taken away must be of these. */
export class UnknownWrites {
  readonly #byKey = new Map<string, UnknownWrite[]>();
  count = 0;

  add(write: UnknownWrite): void {
    this.count += 1;
    for (const key of write.writes.keys()) {
      const known = this.#byKey.get(key);
      if (known === undefined) this.#byKey.set(key, [write]);
      else known.push(write);
    }
  }

  /**
   * Events of the key that none of them can have made, each being made by one of its own. Of equal ones it does not matter which: they
   * are taken in the order of the revisions behind which they must be.
   */
  unexplained(key: string, index: WatchIndex): { revision: number; candidates: UnknownWrite[] }[] {
    const byHash = new Map<number | undefined, UnknownWrite[]>();
    const inOrder = [...(this.#byKey.get(key) ?? [])].sort((a, b) => a.after - b.after);
    for (const write of inOrder) {
      const hash = write.writes.get(key);
      const alike = byHash.get(hash);
      if (alike === undefined) byHash.set(hash, [write]);
      else alike.push(write);
    }
    const taken = new Map<number, number>();
    const found: { revision: number; candidates: UnknownWrite[] }[] = [];
    for (const { revision, hash } of index.unclaimed(key)) {
      const candidates = byHash.get(hash) ?? [];
      const next = taken.get(hash) ?? 0;
      const candidate = candidates[next];
      if (candidate === undefined || candidate.after >= revision) {
        found.push({ revision, candidates });
      } else {
        taken.set(hash, next + 1);
      }
    }
    return found;
  }

  /**
   * Those that cannot have happened as a whole: one of their writes can be no other's, and another one is not there at the same revision, or
   * what they needed to find was not there before it.
   */
  *torn(index: WatchIndex): Generator<{ readonly write: UnknownWrite; readonly text: string }> {
    const several = new Set([...this.#byKey.values()].flat());
    for (const write of several) {
      if (write.writes.size < 2 && write.reads.length === 0) continue;
      for (const [key, hash] of write.writes) {
        const revision = this.#onlyRevision(key, hash, index);
        if (revision === null) continue;
        const missing = [...write.writes].find(
          ([other, wanted]) => index.eventAt(other, revision)?.hash !== wanted,
        );
        const other = write.reads.find(
          ([needed, wanted]) => index.hashAt(needed, revision - 1) !== wanted,
        );
        if (missing === undefined && other === undefined) continue;
        const why =
          missing === undefined
            ? `"${other?.[0]}" did not hold what it needed`
            : `and not "${missing[0]}"`;
        yield { write, text: `it wrote "${key}" at revision ${revision}, ${why}` };
        break;
      }
    }
  }

  /** When there is one event with this value that nobody else has made, and one write that can have made it. */
  #onlyRevision(key: string, hash: number, index: WatchIndex): number | null {
    const writers = (this.#byKey.get(key) ?? []).filter(({ writes }) => writes.get(key) === hash);
    if (writers.length !== 1) return null;
    const events = [...index.unclaimed(key)].filter((event) => event.hash === hash);
    return events.length === 1 ? (events[0]?.revision ?? null) : null;
  }
}
