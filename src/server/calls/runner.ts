import { createHash } from 'node:crypto';
import { type CallRecord, type Effects, FINGERPRINT_BYTES } from '../../base/call.js';
import { packCall } from '../../base/call-codec.js';
import { BalsaError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import {
  type Bundle,
  CALL_LIMITS,
  type Execution,
  type Executor,
  failedExecution,
  type StoreSource,
} from '../../compute/execution.js';
import type { ResolvedProcedure } from '../../statemachine/procedures.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { CallRequest } from './call-types.js';

export interface RunnerOptions {
  /** `null`: this replica runs no procedures. */
  readonly executor: Executor | null;
  readonly random: Random;
  readonly machine: () => StateMachine;
  /** Log time as it is now, in milliseconds: what `ctx.now` says. */
  readonly nowMs: () => number;
}

/** Bundles whose code is kept at hand. */
const BUNDLES_MAX = 32;

/** Seeds of `ctx.random`. */
const SEED_MAX = 2 ** 31;

/** Runs the code of calls. */
export class Runner {
  readonly #options: RunnerOptions;
  /** By hash; the one that was asked for last is behind. */
  readonly #bundles = new Map<string, Bundle>();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** What is asked for; `null`: there is no such procedure in the state as it is here. */
  resolve(reference: string): ResolvedProcedure | null {
    return this.#options.machine().resolveProcedure(reference);
  }

  /** Never rejects. */
  run(
    { name, mode, hash }: ResolvedProcedure,
    args: string,
    source: StoreSource,
  ): Promise<Execution> {
    const { executor, random, nowMs } = this.#options;
    const bundle = this.#bundle(hash);
    if (executor === null || bundle === null) {
      const error = new BalsaError('SHUTTING_DOWN', 'this replica runs no procedures now', {
        outcome: 'not-applied',
      });
      return Promise.resolve(failedExecution(error));
    }
    const seed = random.int(SEED_MAX);
    const call = { bundle, name, args, nowMs: nowMs(), seed, limits: CALL_LIMITS };
    return executor.run(call, mode, source);
  }

  #bundle(hash: string): Bundle | null {
    const kept = this.#bundles.get(hash);
    if (kept !== undefined) {
      this.#bundles.delete(hash);
      this.#bundles.set(hash, kept);
      return kept;
    }
    const code = this.#options.machine().procedureCode(hash);
    if (code === null) return null;
    const bundle = { hash, code: Buffer.from(code).toString('utf8') };
    this.#bundles.set(hash, bundle);
    const [oldest] = this.#bundles.keys();
    if (this.#bundles.size > BUNDLES_MAX && oldest !== undefined) this.#bundles.delete(oldest);
    return bundle;
  }
}

const NOTHING_WRITTEN = { writes: [], updates: [], events: [] };

/** What a call would do, for the log. */
export function recordOf(
  request: CallRequest,
  hash: string,
  execution: Execution,
  dependsOn: readonly number[],
): CallRecord & Effects {
  const { key, isNamed, bornIndex, procedure } = request;
  const identity = { key, isNamed, bornIndex, procedure, hash, dependsOn };
  const fingerprint = fingerprintOf(request);
  if (execution.ok) {
    const end = { ok: true, result: execution.result } as const;
    return { ...execution.effects, ...identity, fingerprint, end };
  }
  const { code, message, details } = execution.error;
  const end = { ok: false, code, message, details } as const;
  return { ...execution.reads, ...NOTHING_WRITTEN, ...identity, fingerprint, end };
}

/**
 * @param bytesMax of a record: what the log takes
 * @throws BalsaError `PROCEDURE_LIMIT`
 */
export function packRecord(record: CallRecord, bytesMax: number): Buffer {
  const bytes = packCall(record);
  if (bytes.byteLength <= bytesMax) return bytes;
  throw new BalsaError(
    'PROCEDURE_LIMIT',
    `what the call has read and written takes ${bytes.byteLength} bytes; the limit is ${bytesMax} (batchBytesMax)`,
    { outcome: 'not-applied', details: { limit: 'batchBytesMax', max: bytesMax } },
  );
}

/** Of what is called: neither the alias nor the code, which may change between two attempts. */
function fingerprintOf({ procedure, args }: CallRequest): Uint8Array {
  const [name = ''] = procedure.split('@');
  const digest = createHash('sha256').update(name).update('\0').update(args).digest();
  return digest.subarray(0, FINGERPRINT_BYTES);
}

/** How the code itself ended: all else has nothing to do with it, and may end otherwise the next time. */
export function isVerdict(execution: Execution): boolean {
  return execution.ok || CODE_ERRORS.has(execution.error.code);
}

const CODE_ERRORS: ReadonlySet<string> = new Set([
  ...['PROCEDURE_FAILED', 'PROCEDURE_ABORTED', 'PROCEDURE_LIMIT', 'PROCEDURE_READ_ONLY'],
  ...['INVALID_ARGUMENT', 'KEY_EMPTY', 'KEY_TOO_LARGE', 'VALUE_TOO_LARGE', 'VALUE_NOT_DECODABLE'],
]);
