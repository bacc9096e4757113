import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { event } from './histories.js';

/** The store as it should be: each request takes effect at one moment. */
export class AtomicStore {
  readonly #values = new Map<string, unknown>();
  readonly events: HistoryOperation[] = [];
  revision = 0;
  time = 0;

  get(key: string): unknown {
    return this.#values.get(key) ?? null;
  }

  keys(): string[] {
    return [...this.#values.keys()];
  }

  /** All of it at one revision. `null` deletes. */
  write(writes: Iterable<readonly [string, unknown]>): number {
    this.revision += 1;
    for (const [key, value] of writes) {
      if (value === null) this.#values.delete(key);
      else this.#values.set(key, value);
      this.events.push(event(this.revision, key, value, this.time));
    }
    return this.revision;
  }
}

export type Request = Pick<HistoryOperation, 'f' | 'key' | 'value' | 'level'>;
/** Fields of the line that tells the end; `type` is `ok` unless it is given. */
export type Answer = Partial<Omit<HistoryOperation, 'process' | 'f' | 'time'>>;

export interface ModelOptions {
  readonly seed: number;
  readonly clients: number;
  readonly operations: number;
  /** Share of requests whose client is not told the outcome; half of those take effect, perhaps much later. */
  readonly unknownShare: number;
  readonly request: (random: Random, client: number, store: AtomicStore) => Request;
  readonly effect: (request: Request, store: AtomicStore, client: number) => Answer;
}

interface Pending {
  readonly client: number;
  readonly process: number;
  readonly request: Request;
  readonly isUnknown: boolean;
  answer: Answer | null;
}

interface Moment {
  readonly time: number;
  readonly run: () => void;
}

/** A run of clients against an {@link AtomicStore}, with random delays before and behind each effect. */
export function runModel(options: ModelOptions): {
  readonly history: HistoryOperation[];
  readonly watch: HistoryOperation[];
  readonly store: AtomicStore;
} {
  const random = seededRandom(options.seed);
  const store = new AtomicStore();
  const history: HistoryOperation[] = [];
  const waiting: Moment[] = [];
  let processes = options.clients;
  let left = options.operations;
  const later = (run: () => void, delayMax: number): void => {
    waiting.push({ time: store.time + 1 + random.int(delayMax), run });
  };
  const begin = (client: number, process: number): void => {
    if (left === 0) return;
    left -= 1;
    const request = options.request(random, client, store);
    const isUnknown = random.next() < options.unknownShare;
    const pending: Pending = { client, process, request, isUnknown, answer: null };
    history.push({ process, type: 'invoke', ...request, time: store.time });
    const apply = (): void => {
      pending.answer = options.effect(request, store, client);
    };
    if (!isUnknown) {
      later(() => {
        apply();
        later(() => end(pending), 1000);
      }, 1000);
      return;
    }
    if (random.int(2) === 0) later(apply, random.int(4) === 0 ? 100_000 : 1500);
    later(() => end(pending), 2000);
  };
  const end = ({ client, process, request, isUnknown, answer }: Pending): void => {
    const common = { process, ...request, time: store.time };
    const value = answer?.value === undefined ? request.value : answer.value;
    if (isUnknown) history.push({ ...common, type: 'info', error: 'TIMEOUT' });
    else history.push({ ...common, ...answer, type: answer?.type ?? 'ok', value });
    const next = isUnknown ? processes++ : process;
    later(() => begin(client, next), 500);
  };
  for (let client = 0; client < options.clients; client += 1) {
    later(() => begin(client, client), 1000);
  }
  while (waiting.length > 0) {
    let first = 0;
    for (let at = 1; at < waiting.length; at += 1) {
      if ((waiting[at] as Moment).time < (waiting[first] as Moment).time) first = at;
    }
    const [moment] = waiting.splice(first, 1) as [Moment];
    store.time = moment.time;
    moment.run();
  }
  return { history, watch: store.events, store };
}

/** Gets, puts, compare-and-sets and deletions of a few keys. */
export function registerModel(
  options: Pick<ModelOptions, 'seed' | 'clients' | 'operations' | 'unknownShare'> & {
    readonly keys: number;
    /** How many different values there are; by default each is written once. */
    readonly values?: number;
  },
): ReturnType<typeof runModel> {
  let written = 0;
  const value = (random: Random): number =>
    options.values === undefined ? ++written : random.int(options.values);
  return runModel({
    ...options,
    request: (random, _, store) => {
      const key = `k${random.int(options.keys)}`;
      const kind = random.int(10);
      if (kind < 5) return { f: 'get', key };
      if (kind < 8) return { f: 'put', key, value: value(random) };
      if (kind < 9) return { f: 'cas', key, value: [store.get(key), value(random)] };
      return { f: 'delete', key };
    },
    effect: registerEffect,
  });
}

export function registerEffect({ f, key = '', value }: Request, store: AtomicStore): Answer {
  const held = store.get(key);
  if (f === 'get') return { value: held, revision: store.revision };
  if (f === 'put') return { revision: store.write([[key, value]]) };
  if (f === 'delete') {
    if (held === null) return { value: false, revision: store.revision };
    return { value: true, revision: store.write([[key, null]]) };
  }
  const [old, next] = value as [unknown, unknown];
  if (held === old) return { revision: store.write([[key, next]]) };
  return { type: 'fail', error: 'CONDITION_FAILED', revision: store.revision };
}
