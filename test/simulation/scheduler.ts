import { type Random, seededRandom } from '../../src/base/random.js';
import { EventHash } from './event-hash.js';
import { pop, push } from './time-heap.js';

/** What kind of thing happens; goes into the hash of all events. */
export const KIND = {
  control: 1,
  fault: 2,
  timer: 3,
  turn: 4,
  disk: 5,
  message: 6,
  stream: 7,
  client: 8,
  compute: 9,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/** Something that will happen; may be cancelled. */
export class Planned {
  readonly atMs: number;
  /** Breaks ties: what was planned first happens first. */
  readonly order: number;
  readonly kind: Kind;
  /** Whom it happens to. */
  readonly subject: number;
  run: (() => void) | null;

  constructor(at: { atMs: number; order: number }, what: What, run: () => void) {
    this.atMs = at.atMs;
    this.order = at.order;
    this.kind = what.kind;
    this.subject = what.subject;
    this.run = run;
  }

  cancel(): void {
    this.run = null;
  }
}

export interface What {
  readonly kind: Kind;
  readonly subject: number;
}

const CONTROL: What = { kind: KIND.control, subject: 0 };

/** In the busiest millisecond of a schedule there are some hundred; with so many something is planned for now again and again. */
const EVENTS_PER_MS_MAX = 100_000;
/** Of so many before that it is noted what they are. */
const EVENTS_NOTED = 1000;

/**
 * Rounds of microtasks behind an event. Most chains of promises in the product are shorter; a longer one
 * goes on behind the next event, the same way each time.
 */
const ROUNDS = 8;
/** Behind what seldom settles a promise; there are many of these. */
const ROUNDS_FEW = 2;

/** A broken promise of the system under test, with what was broken. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** Notices that time does not go on, and remembers of the last events what they were. */
class Standstill {
  readonly #eventsMax: number;
  #sinceMs = 0;
  #events = 0;
  /** How often each was there of late. */
  readonly #seen = new Map<string, number>();
  #lastPlanned = '';

  constructor(eventsMax: number) {
    this.#eventsMax = eventsMax;
  }

  /** Note is taken of what is planned and of what happens. */
  get isNear(): boolean {
    return this.#events > this.#eventsMax - EVENTS_NOTED;
  }

  planned(): void {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 12;
    this.#lastPlanned = (new Error().stack ?? '').split('\n').slice(3).join('\n');
    Error.stackTraceLimit = stackTraceLimit;
  }

  /** @throws Violation */
  happens({ atMs, kind, subject }: Planned): void {
    if (atMs - this.#sinceMs >= 1) {
      this.#sinceMs = atMs;
      this.#events = 0;
      if (this.#seen.size > 0) this.#seen.clear();
    }
    this.#events += 1;
    if (!this.isNear) return;
    const name = Object.entries(KIND).find(([, one]) => one === kind)?.[0];
    const what = `${name} of place ${subject}`;
    this.#seen.set(what, (this.#seen.get(what) ?? 0) + 1);
    if (this.#events < this.#eventsMax) return;
    const often = [...this.#seen].sort(([, a], [, b]) => b - a);
    const counts = often.map(([name, count]) => `${count} times ${name}`).join(', ');
    throw new Violation(
      `Standstill: ${this.#events} events within 1 ms at ${atMs.toFixed(3)} ms, of late ${counts};` +
        ` the last was planned here:\n${this.#lastPlanned}`,
    );
  }
}

/**
 * Simulated time: one queue of all that will happen anywhere, and one source of chance. Nothing here
 * waits for the real event loop, so that a run costs what its events cost.
 */
export class Scheduler {
  readonly random: Random;
  readonly hash = new EventHash();
  #nowMs = 0;
  #order = 0;
  readonly #heap: Planned[] = [];
  /** Happens now, in order, before time goes on. */
  #soon: Planned[] = [];
  #soonHead = 0;
  #events = 0;
  readonly #standstill: Standstill;
  #failure: Error | null = null;

  constructor(seed: number, eventsPerMsMax = EVENTS_PER_MS_MAX) {
    this.random = seededRandom(seed);
    this.#standstill = new Standstill(eventsPerMsMax);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have happened. */
  get events(): number {
    return this.#events;
  }

  plan(delayMs: number, run: () => void, what: What = CONTROL): Planned {
    return this.planAt(this.#nowMs + delayMs, run, what);
  }

  /** Not before now. */
  planAt(atMs: number, run: () => void, what: What = CONTROL): Planned {
    const soon = !(atMs > this.#nowMs);
    const at = { atMs: soon ? this.#nowMs : atMs, order: this.#order++ };
    const planned = new Planned(at, what, run);
    if (this.#standstill.isNear) this.#standstill.planned();
    if (soon) this.#soon.push(planned);
    else push(this.#heap, planned);
    return planned;
  }

  /** The run is over: {@link run} throws this. The first failure counts. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  /** Lets everything happen until `done()` holds or simulated time reaches `untilMs`. */
  async run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    while (!done()) {
      const next = this.#next(untilMs);
      if (next === null) {
        this.#nowMs = Math.max(this.#nowMs, untilMs);
        return;
      }
      const { run } = next;
      if (run === null) continue;
      this.#nowMs = next.atMs;
      this.#events += 1;
      this.hash.time(next.atMs);
      this.hash.add((next.kind << 8) | next.subject);
      this.#standstill.happens(next);
      run();
      const few = next.kind === KIND.message || next.kind === KIND.turn || next.kind === KIND.timer;
      for (let round = few ? ROUNDS - ROUNDS_FEW : 0; round < ROUNDS; round += 1) await null;
      if (this.#failure !== null) throw this.#failure;
    }
  }

  /**
   * Lets everything happen until it is there.
   * @param what it is, by which a violation is named
   * @throws Violation when that takes longer than `limitMs`
   */
  async until<T>(what: string, awaited: Promise<T>, limitMs: number): Promise<T> {
    let settled = false;
    const over = (): void => {
      settled = true;
    };
    awaited.then(over, over);
    await this.run(this.#nowMs + limitMs, () => settled);
    if (!settled) throw new Violation(`${what}: not there within ${limitMs} ms`);
    return awaited;
  }

  #next(untilMs: number): Planned | null {
    const soon = this.#soon[this.#soonHead];
    if (soon !== undefined) {
      this.#soonHead += 1;
      if (this.#soonHead === this.#soon.length) {
        this.#soon = [];
        this.#soonHead = 0;
      }
      return soon;
    }
    const first = this.#heap[0];
    if (first === undefined || first.atMs > untilMs) return null;
    return pop(this.#heap) ?? null;
  }
}
