interface ForwardedRequest {
  readonly ids: readonly number[];
  /** How many of them are patient. */
  readonly patient: number;
  readonly sentAtTick: number;
}

/** Starts of the numbers lie this far apart; 2^32 starts fit into the safe integers. */
const NUMBERS_PER_START = 2 ** 20;

/**
 * The reads that a follower has forwarded to the leader. All reads of one step share one request.
 *
 * Numbers of requests begin at a random place at each start of the process. If they began at 1, an
 * answer to a request of before a restart could be taken for the answer to a new one, and would
 * serve it from a state that is too old.
 */
export class ForwardedReads {
  #lastRequest: number;
  #size = 0;
  #patient = 0;
  #asked: number[] = [];
  #askedPatient = 0;
  #hurried = false;
  /** By request, oldest first. */
  readonly #requests = new Map<number, ForwardedRequest>();

  constructor(random: { int(bound: number): number }) {
    this.#lastRequest = random.int(2 ** 32) * NUMBERS_PER_START;
  }

  /** Reads without an answer. */
  get size(): number {
    return this.#size;
  }

  /** Those of {@link size} that wait for the next heartbeats: no client waits for them. */
  get patient(): number {
    return this.#patient;
  }

  /** One of those asked since the last request cannot wait for the leader's next heartbeats. */
  get hurried(): boolean {
    return this.#hurried;
  }

  ask(id: number, patient = false): void {
    if (patient) {
      this.#patient += 1;
      this.#askedPatient += 1;
    } else this.#hurried = true;
    this.#asked.push(id);
    this.#size += 1;
  }

  /** The number of one request for all reads asked since the last one; `null` when there are none. */
  start(tick: number): number | null {
    if (this.#asked.length === 0) return null;
    this.#lastRequest += 1;
    const patient = this.#askedPatient;
    this.#requests.set(this.#lastRequest, { ids: this.#asked, patient, sentAtTick: tick });
    this.#asked = [];
    this.#askedPatient = 0;
    this.#hurried = false;
    return this.#lastRequest;
  }

  /** The reads that an answer to this request serves; none when it is not waited for. */
  answer(request: number): readonly number[] {
    const found = this.#requests.get(request);
    if (found === undefined) return [];
    this.#requests.delete(request);
    this.#size -= found.ids.length;
    this.#patient -= found.patient;
    return found.ids;
  }

  /** Takes out the reads whose requests were sent at or before `tick`. */
  expire(tick: number): readonly number[] {
    const expired: number[] = [];
    for (const [request, { sentAtTick }] of this.#requests) {
      if (sentAtTick > tick) break;
      expired.push(...this.answer(request));
    }
    return expired;
  }

  /** Takes out all reads without an answer, oldest first. */
  drain(): readonly number[] {
    if (this.#size === 0) return [];
    const ids = [...this.#requests.values()].flatMap((request) => request.ids);
    ids.push(...this.#asked);
    this.#requests.clear();
    this.#asked = [];
    this.#askedPatient = 0;
    this.#hurried = false;
    this.#size = 0;
    this.#patient = 0;
    return ids;
  }
}
