/** What a queued call takes beside its bytes, roughly. */
const CALL_OVERHEAD_BYTES = 128;

/** So many settled calls may stay in the list. */
const SETTLED_KEPT = 1024;

/** Of those that write as many keys as there may be in a range: each takes long, and what is in one request is applied in one go. */
const WIDE_PER_BATCH_MAX = 2;

/** What a queue needs to know of a call. */
interface Queued {
  readonly settled: boolean;
  /** Bytes that it takes in a request, at most. */
  readonly bytes: number;
  /** It writes as many keys as there may be. Default `false`. */
  readonly isWide?: boolean;
}

/** How much goes into one request. */
export interface BatchBounds {
  readonly operationsMax: number;
  readonly bytesMax: number;
}

/**
 * Calls that were never sent, in their order. One that is settled while it waits stays in the list and
 * is passed over: only its bytes and its place are given back at once.
 */
export class CallQueue<Call extends Queued> {
  #calls: Call[] = [];
  #head = 0;
  #live = 0;
  #bytes = 0;

  /** Calls that wait. */
  get length(): number {
    return this.#live;
  }

  /** Memory that they take, roughly. */
  get bytes(): number {
    return this.#bytes + this.#live * CALL_OVERHEAD_BYTES;
  }

  /** Bytes that they take in requests, at most. */
  get callBytes(): number {
    return this.#bytes;
  }

  push(call: Call): void {
    this.#calls.push(call);
    this.#count(call);
  }

  /** Before all others. */
  pushFirst(call: Call): void {
    if (this.#head === 0) {
      this.#calls.unshift(call);
    } else {
      this.#head -= 1;
      this.#calls[this.#head] = call;
    }
    this.#count(call);
  }

  /** Puts back what had been taken; those settled since are dropped. */
  pushFront(calls: readonly Call[]): void {
    const live = calls.filter((call) => !call.settled);
    this.#calls = [...live, ...this.#calls.slice(this.#head)];
    this.#head = 0;
    for (const call of live) this.#count(call);
  }

  /** `call` has just been settled while it waited. */
  dropped(call: Call): void {
    this.#live -= 1;
    this.#bytes -= call.bytes;
    // While nothing can be sent, nothing is taken either: those that gave up must not pile up.
    if (this.#calls.length - this.#head < 2 * this.#live + SETTLED_KEPT) return;
    this.#calls = this.#calls.slice(this.#head).filter((c) => !c.settled);
    this.#head = 0;
  }

  /** There is enough for a whole batch, or what comes now cannot go with the first ones: see {@link take}. */
  fills(bounds: BatchBounds, together?: (first: Call, next: Call) => boolean): boolean {
    if (this.#live >= bounds.operationsMax || this.#bytes >= bounds.bytesMax) return true;
    const first = this.#calls[this.#head];
    const last = this.#calls.at(-1);
    if (together === undefined || first === undefined || last === undefined) return false;
    return !together(first, last);
  }

  /**
   * The first calls, as many as fit into one request; at least one if there is one.
   * @param together may this call go with the first one? Default: every one may
   */
  take(bounds: BatchBounds, together?: (first: Call, next: Call) => boolean): Call[] {
    const taken: Call[] = [];
    let bytes = 0;
    let wide = 0;
    for (; this.#head < this.#calls.length; this.#head += 1) {
      const call = this.#calls[this.#head] as Call;
      if (call.settled) continue;
      if (taken.length > 0 && bytes + call.bytes > bounds.bytesMax) break;
      if (taken.length === bounds.operationsMax) break;
      if (together !== undefined && !together(taken[0] ?? call, call)) break;
      if (call.isWide === true && wide === WIDE_PER_BATCH_MAX) break;
      if (call.isWide === true) wide += 1;
      bytes += call.bytes;
      taken.push(call);
    }
    this.#live -= taken.length;
    this.#bytes -= bytes;
    this.#compact();
    return taken;
  }

  /** Those that wait, in order. They may be dropped meanwhile. */
  *[Symbol.iterator](): Iterator<Call> {
    const calls = this.#calls;
    for (let i = this.#head; i < calls.length; i += 1) {
      const call = calls[i] as Call;
      if (!call.settled) yield call;
    }
  }

  #count(call: Call): void {
    this.#live += 1;
    this.#bytes += call.bytes;
  }

  /** Lets go of what was taken, in constant time each. */
  #compact(): void {
    if (this.#head === this.#calls.length) this.#calls = [];
    else if (this.#head * 2 > this.#calls.length) this.#calls = this.#calls.slice(this.#head);
    else return;
    this.#head = 0;
  }
}
