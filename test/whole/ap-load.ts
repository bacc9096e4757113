import { asBalsaError } from '../../src/base/errors.js';
import type { Client } from '../../src/client/kv-client.js';
import type { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';

/** As it stands in the log of the procedures. */
export interface Done {
  readonly id: string;
  readonly by: number;
  readonly took: boolean;
}

interface Answer {
  readonly took: boolean;
}

/** Each call is small, but the first one compiles the interpreter: that takes its time on a busy machine. */
const CALL_MS = 30_000;
/** Longer than any test. */
const STORY_MS = 600_000;
/** Of how many calls of a worker one has a key that the other side asks with, too. */
const SHARED_EVERY = 5;
/** Beyond what a test waits for; each entry makes the cells larger. */
const AHEAD = 5;

interface Worker {
  readonly name: string;
  readonly db: Client;
  acknowledged: number;
  goal: number;
}

/** Calls of `ap` procedures at each replica from a client that stays there, with what these were answered. */
export class ApLoad implements AsyncDisposable {
  /** By id: all answers, of which there are two when both sides were asked. */
  readonly acknowledged = new Map<string, Answer[]>();
  /** By id: nobody knows whether they count. */
  readonly unknown = new Set<string>();
  readonly levels = new Set<string>();
  leastLeft = Number.POSITIVE_INFINITY;
  readonly #workers: Worker[] = [];
  readonly #refusals = new Map<string, Set<string>>();
  /** Of calls that were answered for the first time while nothing was mended. */
  readonly #pending = new Map<string, Set<boolean>>();
  readonly #tookNothing = new Set<string>();
  /** Shared keys, and the sides that were answered. */
  readonly #shared = new Map<string, Set<number>>();
  readonly #sides: readonly (readonly string[])[];
  #running: Promise<unknown> = Promise.resolve();
  #isOver = false;
  #isParted = true;

  private constructor(sides: readonly (readonly string[])[]) {
    this.#sides = sides;
  }

  static async start(
    cluster: LocalCluster,
    { few, many }: { readonly few: readonly string[]; readonly many: readonly string[] },
  ): Promise<ApLoad> {
    const load = new ApLoad([few, many]);
    for (const name of [...few, ...many]) {
      const db = await cluster.connectTo(name, { timeoutMs: CALL_MS });
      load.#workers.push({ name, db, acknowledged: 0, goal: 0 });
    }
    load.#running = Promise.all(load.#workers.map((worker) => load.#work(worker)));
    load.#running.catch(() => {});
    return load;
  }

  /** Waits until each of these replicas has answered so many more. */
  async more(names: readonly string[], count: number): Promise<void> {
    const workers = this.#workers.filter(({ name }) => names.includes(name));
    for (const worker of workers) worker.goal = worker.acknowledged + count;
    await waitUntil(
      `${count} more answers of ${names.join(' and ')}`,
      async () => (workers.every((w) => w.acknowledged >= w.goal) ? true : undefined),
      { timeoutMs: 60_000 },
    );
  }

  /** Keys that both sides were answered for. */
  get shared(): number {
    return [...this.#shared.values()].filter((sides) => sides.size === 2).length;
  }

  /** Codes and messages of what calls there ended with. */
  refusals(name: string): ReadonlySet<string> {
    return this.#refusals.get(name) ?? new Set();
  }

  pendingOf(names: readonly string[]): Set<boolean> {
    return new Set(names.flatMap((name) => [...(this.#pending.get(name) ?? [])]));
  }

  tookNothing(names: readonly string[]): boolean {
    return names.some((name) => this.#tookNothing.has(name));
  }

  /** A call of the test itself was answered. */
  acknowledge(id: string, answer: Answer): void {
    this.acknowledged.set(id, [...(this.acknowledged.get(id) ?? []), answer]);
  }

  /** From now on what is answered may be merged at once. */
  mended(): void {
    this.#isParted = false;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.allSettled([this.#running]);
    await Promise.all(this.#workers.map(({ db }) => db.close()));
  }

  async #work(worker: Worker): Promise<void> {
    const { name } = worker;
    for (let i = 1; !this.#isOver; i += 1) {
      await waitUntil(
        'more to be wanted',
        async () => (worker.acknowledged < worker.goal + AHEAD || this.#isOver ? true : undefined),
        { timeoutMs: STORY_MS },
      );
      // The same ones at all replicas, about at the same time.
      const isShared = i % SHARED_EVERY === 0;
      const id = isShared ? `shared ${i}` : `${name} ${i}`;
      await this.#call(worker, id, isShared);
    }
  }

  async #call(worker: Worker, id: string, isShared: boolean): Promise<void> {
    const { name, db } = worker;
    const args = { id, by: 1 + (id.length % 3) };
    const options = isShared ? { idempotencyKey: id } : {};
    const wasParted = this.#isParted;
    try {
      const answer = await db.call('work', args, { ...options, consistency: 'ap-local' });
      const { took, left } = answer.result as Answer & { left: number };
      worker.acknowledged += 1;
      this.acknowledge(id, { took });
      this.levels.add(answer.meta.level);
      this.leastLeft = Math.min(this.leastLeft, left);
      if (!took) this.#tookNothing.add(name);
      if (wasParted && this.#isParted) note(this.#pending, name, answer.pending);
      if (isShared)
        note(
          this.#shared,
          id,
          this.#sides.findIndex((side) => side.includes(name)),
        );
    } catch (cause) {
      const { code, message, outcome } = asBalsaError(cause);
      note(this.#refusals, name, `${code}: ${message}`);
      if (outcome !== 'not-applied') this.unknown.add(id);
    }
  }
}

function note<T>(notes: Map<string, Set<T>>, key: string, value: T): void {
  const known = notes.get(key);
  if (known === undefined) notes.set(key, new Set([value]));
  else known.add(value);
}
