import type { Mode } from '../../base/operation.js';
import type { Execution, Executor, ProcedureCall, StoreSource } from '../../compute/execution.js';

/** An executor that is made when the first call comes: a replica without procedures has no threads for them. */
export class LazyExecutor implements Executor {
  readonly #make: () => Executor;
  #made: Executor | null = null;

  constructor(make: () => Executor) {
    this.#make = make;
  }

  run(call: ProcedureCall, mode: Mode, source: StoreSource): Promise<Execution> {
    this.#made ??= this.#make();
    return this.#made.run(call, mode, source);
  }

  async close(): Promise<void> {
    await this.#made?.close();
  }
}
