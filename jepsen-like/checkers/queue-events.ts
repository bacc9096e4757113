import type { Call } from './calls.js';
import type { Findings } from './findings.js';
import { countBelow } from './sorted.js';
import { show } from './values.js';
import { ABSENT, hashValue, type WatchIndex } from './watch-index.js';

interface Event {
  readonly key: string;
  readonly revision: number;
  /** Of the element that was put in or taken out. */
  readonly hash: number;
}

/**
 * What the watch of the store says of a queue whose elements have a key each, below that of the queue: what was put in and taken out, in
 * order. So it is known what became of operations of unknown outcome: whatever was taken out by nobody who was told must be one of theirs.
 */
export class QueueEvents {
  readonly #findings: Findings;
  readonly #queue: string;
  /** By the hash of the element. */
  readonly #puts = new Map<number, Event[]>();
  readonly #takes = new Set<Event>();
  /** By revision. */
  readonly #takesAt = new Map<number, Event[]>();
  /** From which revision on so many are in it. */
  readonly #revisions: number[] = [];
  readonly #sizes: number[] = [];

  constructor(findings: Findings, queue: string, index: WatchIndex) {
    this.#findings = findings;
    this.#queue = queue;
    this.#replay(eventsBelow(index, `${queue}/`));
  }

  /** The store keeps its elements in another way. */
  get isEmpty(): boolean {
    return this.#puts.size === 0;
  }

  /** Who was put in first goes first. */
  #replay(events: readonly Event[]): void {
    const line: Event[] = [];
    for (const event of events) {
      if (event.hash !== ABSENT) {
        put(this.#puts, event.hash, event);
        line.push(event);
      } else {
        const at = line.findIndex(({ key }) => key === event.key);
        const [taken] = at < 0 ? [] : line.splice(at, 1);
        if (taken !== undefined) this.#takeOut({ ...event, hash: taken.hash });
        if (at > 0) {
          const text = `"${event.key}" was taken out at revision ${event.revision}, and "${line[0]?.key}" was put in before it`;
          this.#findings.note('order', text);
        }
      }
      this.#revisions.push(event.revision);
      this.#sizes.push(line.length);
    }
  }

  #takeOut(event: Event): void {
    this.#takes.add(event);
    put(this.#takesAt, event.revision, event);
  }

  /** @param calls all that were answered, with their revisions */
  judge(
    calls: readonly Call[],
    unknownDequeues: readonly Call[],
    drained: readonly unknown[],
  ): void {
    const free = new Set(this.#takes);
    for (const call of calls) {
      const revision = call.completion?.revision ?? 0;
      if (call.f === 'enqueue') this.#judgePut(call, revision);
      else if (call.answer === null || call.answer === undefined) this.#judgeEmpty(call, revision);
      else this.#judgeTake(call, revision, free);
    }
    const others = new Set(drained.map(hashValue));
    this.#judgeRest(
      [...free].filter(({ hash }) => !others.has(hash)),
      { calls, unknownDequeues },
    );
  }

  #judgePut(call: Call, revision: number): void {
    const hash = hashValue(call.asked);
    const there = this.#puts.get(hash) ?? [];
    if (there.some((event) => event.revision === revision)) {
      if (there.length === 1) return;
      const revisions = there.map((event) => event.revision).join(', ');
      const text = `${show(call.asked)} was put in at revisions ${revisions}`;
      this.#findings.note('twice', text, [call]);
      return;
    }
    const text = `${show(call.asked)} was put in at revision ${revision}, where the store has nothing of it`;
    this.#findings.note('lost', text, [call]);
  }

  #judgeTake(call: Call, revision: number, free: Set<Event>): void {
    const hash = hashValue(call.answer);
    const taken = this.#takesAt.get(revision)?.find((event) => event.hash === hash);
    if (taken !== undefined && free.delete(taken)) return;
    const text = `${show(call.answer)} came out at revision ${revision}, where it was not taken out of the store`;
    this.#findings.note('twice', text, [call]);
  }

  #judgeEmpty(call: Call, revision: number): void {
    const size = this.#sizes[countBelow(this.#revisions, revision, true) - 1] ?? 0;
    if (size === 0) return;
    const text = `it was found empty at revision ${revision}, when ${size} were in it`;
    this.#findings.note('empty', text, [call]);
  }

  /** What nobody was told of was taken out by those of unknown outcome, each of which takes one, and later than what it was told of. */
  #judgeRest(
    rest: readonly Event[],
    {
      calls,
      unknownDequeues,
    }: { readonly calls: readonly Call[]; readonly unknownDequeues: readonly Call[] },
  ): void {
    const byEnd = [...calls].sort((a, b) => a.end - b.end);
    const ends = byEnd.map(({ end }) => end);
    const told: number[] = [0];
    for (const { completion } of byEnd) {
      told.push(Math.max(told.at(-1) ?? 0, completion?.revision ?? 0));
    }
    const after = unknownDequeues
      .map(({ begin }) => told[countBelow(ends, begin)] ?? 0)
      .sort((a, b) => a - b);
    for (const [at, { key, revision }] of rest.entries()) {
      const takers = countBelow(after, revision);
      if (takers > at) continue;
      const text = `of queue "${this.#queue}" ${at + 1} elements were taken out through revision ${revision} and never came out, "${key}" among them; ${takers} dequeues of unknown outcome may each have taken one`;
      this.#findings.note('lost', text, unknownDequeues.slice(0, 5));
      return;
    }
  }
}

function put(map: Map<number, Event[]>, at: number, event: Event): void {
  const there = map.get(at);
  if (there === undefined) map.set(at, [event]);
  else there.push(event);
}

function eventsBelow(index: WatchIndex, prefix: string): Event[] {
  const events: Event[] = [];
  for (const key of index.keys()) {
    if (!key.startsWith(prefix)) continue;
    for (const event of index.eventsOf(key)) events.push({ key, ...event });
  }
  return events.sort((a, b) => a.revision - b.revision);
}
