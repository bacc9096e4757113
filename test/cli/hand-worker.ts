import type { WorkerDemand } from '../../src/base/job.js';
import type { Client } from '../../src/client/kv-client.js';
import {
  type RunningTask,
  type TaskHost,
  type TaskOutcome,
  WorkerLoop,
} from '../../src/client/worker-loop.js';
import type { AssignedTask } from '../../src/rpc/job-protocol.js';

interface HandTask {
  readonly task: AssignedTask;
  readonly input: unknown;
  readonly end: (outcome: TaskOutcome) => void;
}

/** A worker of the client library that runs nothing: a test says how each task ends. */
export class HandWorker implements TaskHost {
  /** Those under way, in the order in which they were given. */
  readonly tasks: HandTask[] = [];
  /** What each task gives at once; `null`: they wait for the test. */
  gives: ((input: unknown) => unknown) | null = null;
  readonly #loop: WorkerLoop;

  private constructor(client: Client, demand: WorkerDemand) {
    const { parts } = client.jobs;
    this.#loop = new WorkerLoop({ parts, demand, host: this, onFailure: () => {} });
    this.#loop.start();
  }

  static start(client: Client, fields: Partial<WorkerDemand> = {}): HandWorker {
    return new HandWorker(client, {
      ...{ worker: 'w-1', home: 'ada', where: 'worker', slots: 2, threads: 2 },
      ...{ tasks: ['double', 'sum'], labels: [], memoryBytes: 0 },
      ...fields,
    });
  }

  run(task: AssignedTask, input: unknown): RunningTask {
    if (this.gives !== null) {
      const value = this.gives(input);
      return { ended: Promise.resolve({ type: 'result', value }), stop: () => {} };
    }
    let end: (outcome: TaskOutcome) => void = () => {};
    const ended = new Promise<TaskOutcome>((resolve) => {
      end = resolve;
    });
    this.tasks.push({ task, input, end });
    return { ended, stop: () => {} };
  }

  /** What it has had longest ends so. */
  end(outcome: TaskOutcome): void {
    const first = this.tasks.shift();
    if (first === undefined) throw new Error('it has no task');
    first.end(outcome);
  }

  /** What it has had longest gives that. */
  give(of: (input: unknown) => unknown): void {
    const [first] = this.tasks;
    this.end({ type: 'result', value: of(first?.input) });
  }

  stop(): void {
    this.#loop.stop();
  }
}
