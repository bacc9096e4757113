import { assert } from '../../base/assert.js';
import { keyChooser, keyOf } from './keys.js';
import { type LatencySummary, latencySummary, ratesOverTime } from './latencies.js';
import { openLoop as callsWhenDue } from './open-loop.js';
import { type Operation, readShare, type Scenario } from './scenario.js';

/** Calls that are neither puts nor gets. */
export interface OtherCalls {
  /** Before the first of them. */
  begin?(): Promise<void>;
  call(key: string, value: Buffer): Promise<unknown>;
  /** Behind the last of them. */
  end?(): Promise<void>;
}

/** A client within this process. */
export interface CallableClient {
  put(key: string, value: Buffer): Promise<unknown>;
  get(key: string): Promise<unknown>;
  readonly others?: Partial<Record<Operation, OtherCalls>>;
}

/** What the calls of one measurement came to. */
export interface Calls extends LatencySummary {
  /** Of the calls that began within the time measured, or were due then. */
  readonly served: number;
  /** Calls that ended well within the time measured, whenever they began. */
  readonly perSecond: number;
  /** The same for each `SLICE_MS`, one behind the other; missing where nobody knows. */
  readonly perSecondOverTime?: readonly number[];
  /** How many failed, by what they failed with. */
  readonly errors: Readonly<Record<string, number>>;
}

export interface Length {
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** Ends it before its time: what was served until then counts. */
  readonly signal?: AbortSignal;
}

/** Called behind the warm-up, with the process of the client. */
export type OnBegin = (clientPid: number) => void;

/** So many calls at most are on their way in an open loop: more would measure this process. */
const OPEN_OUTSTANDING_MAX = 50_000;

/**
 * Measures as the scenario says. Latencies are those of calls that began within the time measured, or were due then; the
 * throughput is that of calls that ended in it: the time that the last ones take behind its end is no time in which others
 * could have begun.
 */
export async function drive(
  client: CallableClient,
  scenario: Scenario,
  length: Length,
  onBegin: OnBegin = () => {},
): Promise<Calls> {
  const call = caller(client, scenario);
  const others = client.others?.[scenario.operation];
  let timer: NodeJS.Timeout | undefined;
  try {
    await others?.begin?.();
    timer = setTimeout(() => onBegin(process.pid), length.warmUpSeconds * 1000);
    return scenario.ratePerSecond === null
      ? await closedLoop(call, scenario.outstanding, length)
      : await openLoop(call, scenario.ratePerSecond, length);
  } finally {
    clearTimeout(timer);
    await others?.end?.();
  }
}

/** One operation of the scenario, with a key of its dice. */
function caller(client: CallableClient, scenario: Scenario): () => Promise<unknown> {
  const value = Buffer.alloc(scenario.valueBytes, 'v');
  const next = keyChooser(scenario);
  const { operation } = scenario;
  const share = readShare(operation);
  const others = client.others?.[operation];
  assert(share !== null || others !== undefined, `the client has calls of ${operation}`);
  return () => {
    const key = keyOf(next());
    if (others !== undefined) return others.call(key, value);
    return Math.random() < (share ?? 0) ? client.get(key) : client.put(key, value);
  };
}

async function closedLoop(
  call: () => Promise<unknown>,
  outstanding: number,
  { warmUpSeconds, seconds, signal }: Length,
): Promise<Calls> {
  const tally = new Tally(performance.now() + warmUpSeconds * 1000, seconds, signal);
  const loop = async (): Promise<void> => {
    for (;;) {
      const beganMs = performance.now();
      if (beganMs >= tally.endMs) return;
      try {
        await call();
        tally.served(beganMs, performance.now());
      } catch (error) {
        tally.failed(beganMs, wordOf(error));
      }
    }
  };
  await Promise.all(Array.from({ length: outstanding }, loop));
  return tally.calls();
}

/** A call's time runs from when it was due, not from when this process came to begin it. */
async function openLoop(
  call: () => Promise<unknown>,
  perSecond: number,
  { warmUpSeconds, seconds, signal }: Length,
): Promise<Calls> {
  const tally = new Tally(performance.now() + warmUpSeconds * 1000, seconds, signal);
  await callsWhenDue({
    ...{ seconds: warmUpSeconds + seconds, perSecond, call, signal },
    outstandingMax: OPEN_OUTSTANDING_MAX,
    onEnd: ({ dueMs, endedMs, failure }) => {
      if (failure === null) tally.served(dueMs, endedMs);
      else tally.failed(dueMs, wordOf(failure.cause));
    },
    onLeftOut: ({ dueMs }) =>
      tally.failed(dueMs, `not begun: ${OPEN_OUTSTANDING_MAX} calls were on their way`),
  });
  return tally.calls();
}

/** Counts calls, which began or were due within the time measured, and those that ended in it. */
class Tally {
  readonly #latenciesMs: number[] = [];
  readonly #errors = new Map<string, number>();
  readonly #fromMs: number;
  /** Of calls that ended in it, from `#fromMs` on. */
  readonly #endedMs: number[] = [];
  #endMs: number;

  readonly #signal: AbortSignal | undefined;
  readonly #end = (): void => {
    this.#endMs = Math.min(this.#endMs, performance.now());
  };

  /** @param signal ends the time measured before its end */
  constructor(fromMs: number, seconds: number, signal?: AbortSignal) {
    this.#signal = signal;
    this.#fromMs = fromMs;
    this.#endMs = fromMs + seconds * 1000;
    if (signal?.aborted === true) this.#end();
    else signal?.addEventListener('abort', this.#end, { once: true });
  }

  get endMs(): number {
    return this.#endMs;
  }

  served(beganMs: number, endedMs: number): void {
    if (this.#isMeasured(beganMs)) this.#latenciesMs.push(endedMs - beganMs);
    if (this.#isMeasured(endedMs)) this.#endedMs.push(endedMs - this.#fromMs);
  }

  failed(beganMs: number, word: string): void {
    if (!this.#isMeasured(beganMs)) return;
    this.#errors.set(word, (this.#errors.get(word) ?? 0) + 1);
  }

  /** No more calls come. */
  calls(): Calls {
    this.#signal?.removeEventListener('abort', this.#end);
    const measuredMs = this.#endMs - this.#fromMs;
    return {
      ...latencySummary(this.#latenciesMs),
      served: this.#latenciesMs.length,
      perSecond: measuredMs > 0 ? (this.#endedMs.length * 1000) / measuredMs : 0,
      perSecondOverTime: ratesOverTime(this.#endedMs, measuredMs),
      errors: Object.fromEntries(this.#errors),
    };
  }

  #isMeasured(atMs: number): boolean {
    return atMs >= this.#fromMs && atMs < this.#endMs;
  }
}

function wordOf(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? code : String(error).slice(0, 80);
}
