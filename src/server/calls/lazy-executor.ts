import type { Mode } from '../../base/operation.js';
import type {
  Execution,
  Executor,
  GroupBounds,
  GroupCall,
  GroupMember,
  GroupNews,
  ProcedureCall,
  StoreSource,
} from '../../compute/execution.js';

/** An executor that is made when the first call comes: a replica without procedures has no threads for them. */
export class LazyExecutor implements Executor {
  readonly #make: () => Executor;
  #made: Executor | null = null;

  constructor(make: () => Executor) {
    this.#make = make;
  }

  run(
    call: ProcedureCall,
    mode: Mode,
    source: StoreSource,
    signal?: AbortSignal,
  ): Promise<Execution> {
    return this.#executor.run(call, mode, source, signal);
  }

  runGroup(
    calls: readonly GroupCall[],
    source: StoreSource,
    bounds: GroupBounds,
    news: GroupNews,
  ): Promise<readonly GroupMember[]> {
    return this.#executor.runGroup(calls, source, bounds, news);
  }

  get #executor(): Executor {
    this.#made ??= this.#make();
    return this.#made;
  }

  async close(): Promise<void> {
    await this.#made?.close();
  }
}
