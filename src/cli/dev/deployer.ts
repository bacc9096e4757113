import { asBalsaError, type BalsaError } from '../../base/errors.js';
import type { ProcedureBundle } from '../../compute/bundle.js';
import { type Change, changesOf, hasChanges } from '../deploy/changes.js';
import { prepare } from '../deploy/prepare.js';
import type { StoreClient } from '../store-client.js';
import { isSame, Sources } from './sources.js';

export interface DeployerOptions {
  readonly file: string;
  readonly alias: string;
  readonly types: boolean;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly onUnchecked: (why: string) => void;
}

/** What a look at the file came to. */
export type Outcome =
  | {
      readonly type: 'deployed';
      readonly bundle: ProcedureBundle;
      readonly changes: readonly Change[];
    }
  /** It is deployed as it is. */
  | { readonly type: 'unchanged'; readonly bundle: ProcedureBundle }
  | { readonly type: 'failed'; readonly error: BalsaError };

/** Several files that are saved together are one change. */
const QUIET_MS = 100;
/** After which something is tried again that failed for reasons beyond the file. */
const AGAIN_MS = 2000;

/** Keeps what is deployed as the file is. */
export class Deployer {
  readonly #options: DeployerOptions;
  readonly #sources = new Sources();
  #againMs = Number.POSITIVE_INFINITY;

  constructor(options: DeployerOptions) {
    this.#options = options;
  }

  /** All that has a part in it. */
  get files(): readonly string[] {
    return this.#sources.paths;
  }

  /** Makes the code of the file. @throws BalsaError see {@link prepare} */
  async make(): Promise<ProcedureBundle> {
    const { file, types, signal, onUnchecked } = this.#options;
    // That of the files' times, too.
    this.#sources.begin(Date.now());
    return await prepare(file, {
      ...{ types, signal, onUnchecked },
      onFile: (path) => this.#sources.add(path),
    });
  }

  /** @param making what {@link make} gives */
  async deploy(client: StoreClient, making: Promise<ProcedureBundle>): Promise<Outcome> {
    const { alias, signal, nowMs } = this.#options;
    this.#againMs = Number.POSITIVE_INFINITY;
    try {
      const bundle = await making;
      const changes = changesOf(bundle, alias, await client.procedures.list({ signal }));
      if (!hasChanges(changes)) return { type: 'unchanged', bundle };
      await client.procedures.deploy(bundle, { alias, signal });
      return { type: 'deployed', bundle, changes };
    } catch (cause) {
      const error = asBalsaError(cause);
      if (error.retryable || error.outcome === 'unknown') this.#againMs = nowMs() + AGAIN_MS;
      return { type: 'failed', error };
    }
  }

  /** Whether it is to be done again now: something has changed, and nothing changes any more. */
  async isDue(): Promise<boolean> {
    const { nowMs, sleep, signal } = this.#options;
    if (nowMs() >= this.#againMs) return true;
    if (!(await this.#sources.haveChanged())) return false;
    for (let before = await this.#sources.snapshot(); !signal.aborted; ) {
      await sleep(QUIET_MS);
      const now = await this.#sources.snapshot();
      if (isSame(before, now)) return true;
      before = now;
    }
    return false;
  }
}
