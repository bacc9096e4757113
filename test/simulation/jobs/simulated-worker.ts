import {
  type RunningTask,
  type TaskHost,
  type TaskOutcome,
  WorkerLoop,
} from '../../../src/client/worker-loop.js';
import type { AssignedTask } from '../../../src/rpc/job-protocol.js';
import { SideClient, type TextClient } from '../side-client.js';
import type { World } from '../world.js';

/** What its tasks do: the numbers that they are given, doubled. */
const TASKS = ['double'];

/** A worker of a user: now and then it is gone, or stands still, or what runs a task breaks; others join. */
export class SimulatedWorker {
  readonly #world: World;
  readonly #client: SideClient;
  readonly #longMs: number;
  readonly #name: string;
  #loop: WorkerLoop | null = null;
  #lives = 0;

  constructor(world: World, place: number, longMs: number) {
    this.#world = world;
    this.#longMs = longMs;
    this.#name = `worker-${place}`;
    this.#client = new SideClient(world, { name: this.#name, place, seed: 0x3031 + place });
  }

  /** @returns whether nothing is under way: it stays, and asks for work */
  start(): void {
    this.#client.start((db) => this.#join(db));
  }

  /** It is killed, and another one takes its place. */
  kill(): void {
    const { db } = this.#client;
    if (db === null || this.#loop === null) return;
    this.#world.coverage.count('jobs: a worker was killed');
    this.#loop.stop();
    this.#join(db);
  }

  async close(): Promise<void> {
    this.#loop?.stop();
    await this.#client.close();
  }

  #join(db: TextClient): void {
    this.#lives += 1;
    const { coverage } = this.#world;
    this.#loop = new WorkerLoop({
      parts: db.jobs.parts,
      host: this.#host(),
      demand: {
        ...{ worker: `${this.#name}-${this.#lives}`, home: this.#name, where: 'worker' },
        ...{ slots: 2, threads: 2, tasks: TASKS, labels: ['fast'], memoryBytes: 100 },
      },
      onFailure: () => {},
      onNotice: ({ type }) => coverage.count(`jobs: worker: ${type}`),
    });
    this.#loop.start();
  }

  #host(): TaskHost {
    const client = this.#client;
    const { random } = client;
    const run = async (input: unknown, task: AssignedTask): Promise<TaskOutcome> => {
      const isLong = random.int(12) === 0;
      await client.sleep(random.next() * (isLong ? this.#longMs : 200));
      const dice = random.int(20);
      if (dice === 0) return { type: 'failed', code: 'PROCEDURE_FAILED', message: 'bad luck' };
      if (dice === 1) return { type: 'crashed', message: 'killed' };
      if (typeof input !== 'number') return { type: 'failed', code: 'INTERNAL', message: task.run };
      return { type: 'result', value: 2 * input };
    };
    return {
      run: (task, input): RunningTask => ({ ended: run(input, task), stop: () => {} }),
    };
  }
}
